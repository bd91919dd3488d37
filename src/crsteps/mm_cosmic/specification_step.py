"""Specification of the parameters of MMCosmicStep, as configobj reads it."""

# Names are those of numina-crmasks where it has the parameter. Where the default is another one,
# the comment gives numina's; the file pars-mmcosmic_numina.asdf sets all of those.
SPEC = """
    gain = force_list(default=None)  # e-/ADU, one or one per exposure; default: from the header
    rnoise = force_list(default=None)  # Read noise in ADU, one or one per exposure; default: from the header
    bias = force_list(default=None)  # Level in ADU that is not light, one or one per exposure; default: 0
    extension = string(default=None)  # Extension of the image in plain FITS files: number, NAME or NAME,version
    gain_keywords = force_list(default=None)  # Header keywords of the gain, in the order tried
    rnoise_keywords = force_list(default=None)  # Header keywords of the read noise, in the order tried
    rnoise_keyword_unit = option('electron', 'adu', default='electron')  # Unit of the read noise in the header
    crmethod = string(default='mmcosmic')  # mmcosmic, lacosmic, pycosmic, deepcr, conn, or both such as mm_lacosmic or mm_lacosmic+pycosmic
    aux_combination = option('or', 'odds', default='or')  # Detectors of single images flag by themselves, or are evidence in the null model
    use_auxmedian = boolean(default=False)  # Replace pixels by the cleaned image of the detector of single images
    crmasks = string(default=None)  # File of existing masks (crmasks.fits) to combine with, instead of a search
    interactive = boolean(default=False)  # Show figures in windows and ask how to go on; numina: True
    flux_factor = pass(default='none')  # none, auto, or the flux of the exposures: one number or one per exposure
    flux_factor_regions = force_list(default=None)  # Regions [x1,x2,y1,y2] (first pixel 1) or DS9 file, to measure flux factors in
    apply_flux_factor_to = option('original', 'simulated', default='simulated')  # Divide exposures by their flux factors, or multiply what is expected of them
    dilation = integer(min=0, default=0)  # 3x3 dilations of the finished masks
    regions_to_be_skipped = force_list(default=None)  # Regions [x1,x2,y1,y2] (first pixel 1) or DS9 file, in which nothing is flagged
    pixels_to_be_flagged_as_cr = force_list(default=None)  # Pixels [X,Y] (first pixel 1) or DS9 file, flagged in any case
    pixels_to_be_ignored_as_cr = force_list(default=None)  # Pixels [X,Y] (first pixel 1) or DS9 file, never flagged
    pixels_to_be_replaced_by_local_median = force_list(default=None)  # Pixels and odd box [X,Y,X_width,Y_width] (first pixel 1)
    verify_cr = boolean(default=False)  # With interactive, ask for each feature of MEDIANCR whether it is one
    semiwindow = integer(min=1, default=15)  # Pixels shown on each side of a feature
    color_scale = option('zscale', 'minmax', default='zscale')  # Limits of colours in cut-outs of features
    maxplots = integer(default=-1)  # Features with a page of figures; negative: all, up to 1000
    la_gain_apply = boolean(default=False)  # L.A.Cosmic: AUXCLEAN in electrons; numina: True
    la_sigclip = force_list(min=1, max=2, default=list(5.0, 3.0))  # L.A.Cosmic: Laplacian-to-noise limit, for peaks and for their tails
    la_sigfrac = force_list(min=1, max=2, default=list(0.3, 0.3))  # L.A.Cosmic: fraction of it for neighbours, likewise
    la_objlim = force_list(min=1, max=2, default=list(5.0, 5.0))  # L.A.Cosmic: contrast between Laplacian and fine structure, likewise
    la_satlevel = float(min=0, default=65535.0)  # L.A.Cosmic: saturation level, in the unit of the image
    la_niter = integer(min=1, default=4)  # L.A.Cosmic: largest number of iterations
    la_sepmed = boolean(default=True)  # L.A.Cosmic: separable median filters
    la_cleantype = option('median', 'medmask', 'meanmask', 'idw', default='meanmask')  # L.A.Cosmic: how its cleaned image is made
    la_fsmode = option('median', 'convolve', default='convolve')  # L.A.Cosmic: fine structure by median filter or by the PSF
    la_psfmodel = option('gauss', 'moffat', 'gaussx', 'gaussy', 'gaussxy', default='gaussxy')  # L.A.Cosmic: PSF, with la_fsmode = convolve
    la_psffwhm_x = float(min=0.1, default=2.5)  # L.A.Cosmic: FWHM of the PSF along x (pixels)
    la_psffwhm_y = float(min=0.1, default=2.5)  # L.A.Cosmic: FWHM of the PSF along y (pixels)
    la_psfsize = integer(min=3, default=11)  # L.A.Cosmic: odd size of the PSF image (pixels)
    la_psfbeta = float(min=0, default=4.765)  # L.A.Cosmic: exponent of a Moffat PSF
    la_verbose = boolean(default=False)  # L.A.Cosmic: tell its iterations; numina: True
    la_padwidth = integer(min=0, default=10)  # L.A.Cosmic: mirrored pixels added at each edge
    pc_sigma_det = force_list(min=1, max=2, default=list(5.0, 3.0))  # PyCosmic: Laplacian-to-noise limit, for peaks and for their tails
    pc_rlim = force_list(min=1, max=2, default=list(1.2, 1.2))  # PyCosmic: limit of Laplacian over smoothed image, likewise
    pc_iterations = integer(min=1, default=5)  # PyCosmic: number of iterations
    pc_fwhm_gauss_x = float(min=0.1, default=2.5)  # PyCosmic: FWHM of the smoothing along x (pixels)
    pc_fwhm_gauss_y = float(min=0.1, default=2.5)  # PyCosmic: FWHM of the smoothing along y (pixels)
    pc_replace_box_x = integer(min=1, default=5)  # PyCosmic: box of the replacing median along x (pixels)
    pc_replace_box_y = integer(min=1, default=5)  # PyCosmic: box of the replacing median along y (pixels)
    pc_replace_error = float(min=0, default=1e6)  # PyCosmic: error of replaced pixels
    pc_increase_radius = integer(min=0, default=0)  # PyCosmic: 3x3 dilations of its mask
    pc_verbose = boolean(default=False)  # PyCosmic: tell its iterations; numina: True
    dc_mask = option('ACS-WFC', 'WFC3-UVIS', default='ACS-WFC')  # deepCR: trained model (extra deepcr)
    dc_threshold = float(min=0, max=1, default=0.5)  # deepCR: limit of the probability
    dc_verbose = boolean(default=False)  # deepCR: tell what it does; numina: True
    nn_model = option('ground_imaging', 'NRES', 'HST_ACS_WFC', default='ground_imaging')  # Cosmic-CoNN: trained model (extra conn)
    nn_threshold = float(min=0, max=1, default=0.5)  # Cosmic-CoNN: limit of the probability
    nn_verbose = boolean(default=False)  # Cosmic-CoNN: tell what it does; numina: True
    mm_cr_coincidences = integer(min=2, default=2)  # Exposures that must be hit for the mask of the median
    mm_boundary_fit = option('analytic', 'spline', 'piecewise', default='analytic')  # Limit from the null model, or a curve in a simulated diagram; numina: spline
    mm_false_pixels = float(min=1e-6, default=1.0)  # analytic: expected number of false pixels in each mask
    mm_grow_probability = float(min=1e-12, max=0.5, default=0.01)  # analytic: pixels connected with a hit are flagged below this probability
    mm_equivalence = option('auto', 'none', default='auto')  # Measure differences between the exposures, or take them to be equal; numina: none
    mm_replacement = option('clean_mean', 'minimum', default='clean_mean')  # Replace pixels by the mean of unflagged exposures, or by the lowest; numina: minimum
    mm_photon_distribution = option('poisson', 'nbinom', default='poisson')  # spline: distribution of simulated electrons
    mm_nbinom_shape = float(min=1e-6, default=10.0)  # spline: shape of the negative binomial distribution
    mm_synthetic = option('median', 'single', default='median')  # spline: simulate from the median or from each exposure
    mm_hist2d_min_neighbors = integer(min=0, max=8, default=0)  # spline: bins with fewer non-empty neighbours are emptied
    mm_bins = option('adapted', 'uniform', default='adapted')  # spline: bins narrow where the pixels are, or of one size; numina: uniform
    mm_ydiag_max = float(min=0, default=0.0)  # spline: upper end of the diagram, in the unit of the image; 0: derived
    mm_dilation = integer(min=0, default=0)  # 3x3 dilations of what was detected in the diagram; numina: 1
    mm_xy_offsets = force_list(default=None)  # Offsets [dx,dy] from the median to each exposure (pixels)
    mm_crosscorr_region = force_list(default=None)  # Region [x1,x2,y1,y2] (first pixel 1) to measure offsets in by cross-correlation
    mm_knots_splfit = integer(min=2, default=5)  # spline: number of knots
    mm_fixed_points_in_boundary = force_list(default=None)  # spline, piecewise: points [x,y] or [x,y,weight] of the boundary
    mm_nsimulations = integer(min=1, default=10)  # spline: simulated sets of exposures
    mm_niter_boundary_extension = integer(min=0, default=5)  # spline: fits with larger weights for points above
    mm_weight_boundary_extension = float(min=1, default=2.0)  # spline: factor of these weights from one fit to the next
    mm_threshold_rnoise = float(min=0, default=3.0)  # Least median minus minimum of a feature, in read noises; analytic: of what detectors flag
    mm_minimum_max2d_rnoise = float(min=0, default=5.0)  # spline, piecewise: least highest value of a flagged pixel, in read noises
    mm_seed = pass(default='123456')  # spline: seed of the simulation; none: a new one each time
    combinations = force_list(default=list('mean', 'median', 'min', 'mediancr', 'meancrt', 'meancr', 'meancr2'))  # Combined images to make; default: all seven
    flag_bits = force_list(default=list('JUMP_DET', 'DO_NOT_USE'))  # Data-quality flags set in the exposures; default: JUMP_DET, DO_NOT_USE
    save_masks = boolean(default=True)  # With save_results, write the masks
    save_combined = boolean(default=True)  # With save_results, write the combined images
    save_flagged = boolean(default=True)  # With save_results, write the flagged exposures
    save_figure = boolean(default=True)  # With save_results, write the median-minimum diagram
    save_table = boolean(default=True)  # With save_results, write the table of features
    save_diagnostics = boolean(default=False)  # With save_results, write figures of all stages and a page and CSV table of the features
    jobs = integer(min=1, default=1)  # Processes in which single images are searched at the same time
    max_memory = float(min=1.0, default=48.0)  # MiB for the work on one block of rows
    suffix = string(default='mmcr')  # Suffix of the flagged exposures
    output_use_model = boolean(default=True)  # Flagged exposures are named after their inputs
"""  # noqa: E501
