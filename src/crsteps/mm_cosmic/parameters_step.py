"""Parameters of MMCosmicStep: their checks, and the options that are made of them."""

from dataclasses import fields
from pathlib import Path

from crsteps.cosmic_rays.auxiliary import options_class
from crsteps.cosmic_rays.networks import CONN, DEEPCR, require_packages
from crsteps.datamodels.products import dq_value
from crsteps.detector.regions import parse_pixels, parse_regions
from crsteps.errors import CrstepsInputError
from crsteps.mm_cosmic.combination import COMBINATIONS
from crsteps.mm_cosmic.diagram import DiagramOptions
from crsteps.mm_cosmic.flux_factors import resolve_flux_factors
from crsteps.mm_cosmic.masks import MMCosmicOptions
from crsteps.mm_cosmic.methods import parse_crmethod
from crsteps.mm_cosmic.number_lists import parse_numbers, parse_rows, parse_seed

# Detectors of single images, and what the names of their parameters begin with.
PREFIXES = {"lacosmic": "la_", "pycosmic": "pc_", "deepcr": "dc_", "conn": "nn_"}
# Options without a parameter of their own: the error image is a product.
_FIXED = {"pycosmic": {"error_image": True}}
PAIRS = ("la_sigclip", "la_sigfrac", "la_objlim", "pc_sigma_det", "pc_rlim")
REGIONS = ("flux_factor_regions", "regions_to_be_skipped")
PIXELS = ("pixels_to_be_flagged_as_cr", "pixels_to_be_ignored_as_cr")
REPLACED = "pixels_to_be_replaced_by_local_median"
_ANYWHERE = (2**31, 2**31)  # shape of an image that no list of pixels leaves


def to_plain_values(step):
    """
    Turn values that the specification leaves as text, or as a list of text, into numbers.

    Parameters
    ----------
    step : MMCosmicStep
        Step with its parameters; modified in place.

    Raises
    ------
    CrstepsInputError
        A value that is no number.
    """
    for name in PAIRS:
        setattr(step, name, told(name, parse_numbers, getattr(step, name)))
    seed = told("mm_seed", parse_seed, step.mm_seed)
    step.mm_seed = "none" if seed is None else seed


def check(values):
    """
    Refuse what the specification cannot: before any file is read.

    Parameters
    ----------
    values : object
        Parameters as attributes: the step itself.

    Raises
    ------
    CrstepsInputError
        The first mistake, with the remedy.
    """
    for name in values.combinations:
        if name not in COMBINATIONS:
            raise CrstepsInputError(
                f"combinations: there is no {name!r}; choose from {', '.join(COMBINATIONS)}."
            )
    told("flag_bits", dq_value, values.flag_bits)
    _check_methods(values)
    _check_numbers(values)
    _check_places(values)
    if values.crmasks and not Path(values.crmasks).is_file():
        raise CrstepsInputError(f"crmasks: there is no file {values.crmasks}: check the path.")
    if values.verify_cr and not values.interactive:
        raise CrstepsInputError(
            "verify_cr asks about each feature at the terminal: set interactive to true as well."
        )


def _check_methods(values):
    """Refuse methods that do not exist or do not go together."""
    method = crmethod(values)
    analytic = values.mm_boundary_fit == "analytic"
    if values.use_auxmedian and not values.crmasks and not method.auxiliaries:
        raise CrstepsInputError(
            f"use_auxmedian takes the median cleaned by a detector of single images, and crmethod "
            f"= {method.name} has none: set crmethod to one with such a detector, for example "
            "mm_lacosmic."
        )
    if values.aux_combination == "odds" and not (method.uses_mm and method.auxiliaries):
        raise CrstepsInputError(
            f"aux_combination = odds joins a detector of single images with the null model, and "
            f"crmethod = {method.name} is not both: set it for example to mm_lacosmic."
        )
    if values.aux_combination == "odds" and not analytic:
        raise CrstepsInputError(
            f"aux_combination = odds needs the null model, and mm_boundary_fit = "
            f"{values.mm_boundary_fit} does without: set mm_boundary_fit to analytic."
        )
    single = values.mm_synthetic == "single" and not analytic and method.uses_mm
    if single and not method.auxiliaries:
        raise CrstepsInputError(
            "mm_synthetic = single simulates from exposures cleaned by a detector of single "
            f"images, and crmethod = {method.name} has none: set crmethod for example to "
            "mm_lacosmic."
        )
    for name in ("mm_xy_offsets", "mm_crosscorr_region"):
        if single and getattr(values, name):
            raise CrstepsInputError(
                f"{name} shifts the median, and mm_synthetic = single does not simulate from it: "
                "give one of the two."
            )


def _check_numbers(values):
    """Refuse values that are no numbers or no possible ones."""
    for name in ("gain", "rnoise", "bias"):
        if getattr(values, name):
            told(name, parse_numbers, getattr(values, name))
    for name in PAIRS:
        if min(told(name, parse_numbers, getattr(values, name))) <= 0:
            raise CrstepsInputError(f"{name} must be positive, got {getattr(values, name)}.")
    if values.la_psfsize % 2 == 0:
        raise CrstepsInputError(
            f"la_psfsize = {values.la_psfsize} is even: set it to an odd number."
        )
    for name in ("dc_threshold", "nn_threshold"):
        if not 0 < getattr(values, name) < 1:
            raise CrstepsInputError(
                f"{name} = {getattr(values, name)} flags all or nothing: set it between 0 and 1."
            )
    told("mm_seed", parse_seed, values.mm_seed)
    factors = values.flux_factor
    n_factors = len(factors) if isinstance(factors, list) else str(factors).count(",") + 1
    told("flux_factor", resolve_flux_factors, factors, n_factors)
    offsets(values)
    n_points = len({point[0] for point in fixed_points(values)})
    if values.mm_boundary_fit == "piecewise" and n_points < 2:
        raise CrstepsInputError(
            "mm_boundary_fit = piecewise joins points by lines: give two or more "
            "mm_fixed_points_in_boundary of different x."
        )


def _check_places(values):
    """Refuse regions and pixels that cannot be read; where the image ends is seen later."""
    for name in (*REGIONS, "mm_crosscorr_region"):
        if not region_file(getattr(values, name)):
            told(name, parse_regions, getattr(values, name))
    boxes = {"names": ("x", "y", "x_width", "y_width")}
    for name, names in (*((name, {}) for name in PIXELS), (REPLACED, boxes)):
        if not region_file(getattr(values, name)):
            told(name, parse_pixels, getattr(values, name), _ANYWHERE, **names)
    if values.mm_xy_offsets and values.mm_crosscorr_region:
        raise CrstepsInputError(
            "mm_xy_offsets gives the offsets that mm_crosscorr_region would measure: give one of "
            "the two."
        )


def region_file(value):
    """
    Tell the path of a DS9 region file from regions and pixels.

    Parameters
    ----------
    value : list or None
        Value of a parameter.

    Returns
    -------
    Path or None
        The path, where the only item is text that is no list of numbers.

    Raises
    ------
    CrstepsInputError
        There is no such file.
    """
    if not value or len(value) != 1 or not isinstance(value[0], str):
        return None
    if not any(letter.isalpha() for letter in value[0]):
        return None
    if not Path(value[0]).is_file():
        raise CrstepsInputError(
            f"There is no region file {value[0]}: check the path, or give numbers as in "
            "[[1, 100, 1, 50]]."
        )
    return Path(value[0])


def check_packages(values):
    """
    Refuse a method whose package is not installed.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Raises
    ------
    CrstepsInputError
        It is not; the sentence says what to install.
    """
    for family in (DEEPCR, CONN):
        if family.extra in crmethod(values).auxiliaries:
            try:
                require_packages(family)
            except ModuleNotFoundError as error:
                raise CrstepsInputError(f"crmethod = {values.crmethod}: {error}.") from error


def crmethod(values):
    """
    Parse the method.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    crsteps.mm_cosmic.methods.CrMethod
    """
    return told("crmethod", parse_crmethod, values.crmethod)


def unrecorded(values):
    """
    Name the parameters that products do not record.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    tuple of str
        Those of detectors that are not used, and those on which no product depends.
    """
    used = crmethod(values).auxiliaries
    others = tuple(prefix for name, prefix in PREFIXES.items() if name not in used)
    return ("jobs", *(name for name in vars(values) if name.startswith(others)))


def mm_options(values):
    """
    Give the options of the search and of the masks.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    MMCosmicOptions
    """
    return MMCosmicOptions(
        cr_coincidences=values.mm_cr_coincidences,
        false_pixels=values.mm_false_pixels,
        grow_probability=values.mm_grow_probability,
        threshold_rnoise=values.mm_threshold_rnoise,
        mm_dilation=values.mm_dilation,
        dilation=values.dilation,
        equivalence=values.mm_equivalence,
        block_bytes=int(values.max_memory * 1024**2),
    )


def auxiliary_options(values):
    """
    Give the options of the detectors of single images that are used.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    dict
        By the name of the detector.
    """
    options = {}
    for name in crmethod(values).auxiliaries:
        made = options_class(name)
        own = {
            item.name: _pair(getattr(values, PREFIXES[name] + item.name))
            for item in fields(made)
            if hasattr(values, PREFIXES[name] + item.name)
        }
        options[name] = made(**own | _FIXED.get(name, {}))
    return options


def diagram_options(values):
    """
    Give the options of the simulated diagram.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    DiagramOptions or None
        None where the null model sets the limit.
    """
    if values.mm_boundary_fit == "analytic":
        return None
    names = {item.name for item in fields(DiagramOptions)}
    plain = {n: getattr(values, f"mm_{n}") for n in names if hasattr(values, f"mm_{n}")}
    plain |= {"fixed_points": fixed_points(values), "seed": parse_seed(values.mm_seed)}
    return DiagramOptions(**plain)


def offsets(values):
    """
    Parse the offsets.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    list of list of float
        ``[dx, dy]`` of each exposure; empty if they are not given.
    """
    name = "mm_xy_offsets"
    return told(name, parse_rows, getattr(values, name), widths=(2,), form="[dx, dy]")


def fixed_points(values):
    """
    Parse the fixed points of the boundary.

    Parameters
    ----------
    values : object
        Parameters as attributes.

    Returns
    -------
    tuple of tuple of float
        ``(x, y)`` or ``(x, y, weight)``.
    """
    name = "mm_fixed_points_in_boundary"
    form = "[x, y] or [x, y, weight]"
    rows = told(name, parse_rows, getattr(values, name), widths=(2, 3), form=form)
    return tuple(map(tuple, rows))


def told(name, function, *args, **options):
    """
    Call a function whose ValueError is the user's mistake with a parameter.

    Parameters
    ----------
    name : str
        Parameter.
    function : callable
        What is called.
    *args, **options
        Its arguments.

    Returns
    -------
    object
        Its result.

    Raises
    ------
    CrstepsInputError
        The mistake, with the name of the parameter.
    """
    try:
        return function(*args, **options)
    except ValueError as error:
        sentence = str(error).rstrip(".")
        sentence += "" if sentence.endswith("?") else "."
        raise CrstepsInputError(
            sentence if sentence.startswith(name) else f"{name}: {sentence}"
        ) from error


def _pair(value):
    """Value as options have it: lists are pairs."""
    return tuple(map(float, value)) if isinstance(value, list) else value
