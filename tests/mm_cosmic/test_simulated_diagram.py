"""The simulated diagram, against closed forms, brute force and what numina-crmasks 0.40 drew."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from crsteps.mm_cosmic import simulated_diagram
from crsteps.mm_cosmic.boundary_fit import fit_boundary
from crsteps.mm_cosmic.diagram import DiagramOptions, diagram_images
from crsteps.mm_cosmic.simulated_diagram import (
    ExpectedExposures,
    expected_exposures,
    simulate_diagram,
)

OPTIONS = DiagramOptions(nsimulations=5)


@pytest.fixture
def quick(monkeypatch):
    """Take fewer sets of exposures for the extent of the axes: most of the time of small images."""
    monkeypatch.setattr(simulated_diagram, "_N_EXTENT_SETS", 500)


def level_exposures(signal, n=3, *, shape=(100, 100), gain=1.0, read_noise=1.0, divisors=None):
    """Expectation of equal exposures of one level."""
    image = np.full(shape, signal, dtype=np.float32)
    divisors = np.ones(n) if divisors is None else np.array(divisors)
    return ExpectedExposures((image,) * n, divisors, gain, read_noise)


def simulate(expected, *, low, high, options=OPTIONS, used=None):
    """Simulate with a horizontal axis from low to high at least."""
    shape = expected.signal[0].shape
    lowest = np.full(shape, low, dtype=np.float32)
    lowest[0, 0] = high
    used = np.ones(shape, dtype=bool) if used is None else used
    return simulate_diagram(expected, lowest=lowest, used=used, options=options)


def moments(simulated):
    """Means of both coordinates from the bins."""
    x = (simulated.x_edges[1:] + simulated.x_edges[:-1]) / 2
    y = (simulated.y_edges[1:] + simulated.y_edges[:-1]) / 2
    total = simulated.counts.sum()
    return (simulated.counts.sum(axis=0) @ x) / total, (simulated.counts.sum(axis=1) @ y) / total


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("bins", ["uniform", "adapted"])
@pytest.mark.parametrize(
    ("n", "coincidences", "mean_x", "mean_y"),
    [
        # Order statistics of normal values: E x(1) = -0.8463 of three; of four -1.0294, -0.2970;
        # of five -1.1630, -0.4950, 0.
        (3, 2, -0.8463, 0.8463),
        (4, 2, -0.66318, 0.66318),
        (4, 3, -1.0294, 1.0294),
        (5, 2, -0.55264, 0.55264),
        (5, 3, -0.82898, 0.82898),
    ],
)
def test_coordinates_are_order_statistics_of_the_read_noise(n, coincidences, mean_x, mean_y, bins):
    options = replace(OPTIONS, cr_coincidences=coincidences, bins=bins)
    expected = level_exposures(0, n, read_noise=3.0)
    simulated = simulate(expected, low=-30, high=30, options=options)
    if n == 5 and coincidences == 2:
        mean_x = -(1.1630 + 0.4950) / 3
        mean_y = -mean_x
    assert simulated.counts.sum() == 50000
    assert simulated.n_pixels == 10000
    # 50000 pixels: standard deviations below 0.005 x 3.
    assert moments(simulated) == pytest.approx((3 * mean_x, 3 * mean_y), abs=0.06)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("distribution", ["poisson", "nbinom"])
def test_photons_have_the_distribution_asked_for(distribution):
    options = replace(
        OPTIONS, photon_distribution=distribution, nbinom_shape=4.0, nsimulations=20, bins="uniform"
    )
    gain, signal = 2.0, 3.0
    electrons = gain * signal
    expected = level_exposures(signal, gain=gain, read_noise=1e-3)
    simulated = simulate(expected, low=-0.25, high=29.75, options=options)
    law = stats.poisson(electrons)
    if distribution == "nbinom":  # variance 6 + 36 / 4
        law = stats.nbinom(4.0, 4.0 / (4.0 + electrons))
    k = np.arange(200)
    # The lowest of three is k.
    probability = law.sf(k - 1) ** 3 - law.sf(k) ** 3
    expected = 200000 * np.histogram(k / gain, simulated.x_edges, weights=probability)[0]
    found = simulated.counts.sum(axis=0)
    assert found.sum() == 200000
    assert np.all(np.abs(found - expected) < 5 * np.sqrt(expected) + 3)


# What numina-crmasks 0.40 drew for exposures given by a formula, gain 2, read noise 4, without any
# pixel found by a detector of single images: number of exposures and options; ends of the axes;
# upper ends of the first columns; heights of the boundary at even abscissae.
NUMINA = {
    "documented values": (
        (3, {}),
        ((-10.471740137, 225.960865227), 115.838980532),
        (17.955, 17.955, 17.955, 16.797, 20.272),
        ((-9.29, 224.779), (17.67, 25.51, 26.33, 30.46, 34.77, 37.11, 37.5, 37.79)),
    ),
    "negative binomial, neighbours": (
        (
            3,
            {
                "photon_distribution": "nbinom",
                "nbinom_shape": 7.0,
                "hist2d_min_neighbors": 2,
                "knots_splfit": 4,
            },
        ),
        ((-10.761995867, 438.804981938), 691.088962025),
        (17.277, 31.099, 38.01, 38.01, 86.386),
        ((-8.514, 436.557), (13.83, 162.08, 165.05, 165.05, 165.05, 165.05, 165.05, 165.05)),
    ),
    "three hits of five, fixed points": (
        (
            5,
            {
                "cr_coincidences": 3,
                "fixed_points": ((50, 60, 200), (150, 80, 1000)),
                "seed": 5,
                "weight_boundary_extension": 3.0,
            },
        ),
        ((-7.223498438, 219.329387794), 95.908033091),
        (12.948, 13.907, 12.948, 12.948, 13.907),
        # Its optimiser stops 0.04 % above the minimum here.
        ((-6.091, 218.197), (12.68, 45.77, 61.91, 63.3, 70.56, 80.82, 82.26, 84.73)),
    ),
}


@pytest.mark.parametrize("case", NUMINA)
def test_one_seed_gives_the_diagram_and_the_boundary_of_numina(case):
    (n, changes), (x_ends, top), points, (between, heights) = NUMINA[case]
    y, x = np.mgrid[:60, :50]
    base = 200 * (x / 49.0) ** 3
    data = [
        (base + s * np.sin(1 + k * x + 3 * y)).astype(np.float32)
        for k, s in ((2, 3), (3, 4), (5, 5), (7, 2), (11, 6))[:n]
    ]
    options = replace(DiagramOptions(bins="uniform"), **changes)
    images = diagram_images(data, cr_coincidences=options.cr_coincidences)
    expected = expected_exposures(
        images, gain=2.0, read_noise=4.0, options=options, flux_factors=np.ones(n)
    )
    simulated = simulate_diagram(
        expected, lowest=images.lowest, used=np.ones((60, 50), dtype=bool), options=options
    )
    assert simulated.x_edges[[0, -1]] == pytest.approx(x_ends)
    assert simulated.y_edges[[0, -1]] == pytest.approx([0, top])
    boundary = fit_boundary(simulated, options)
    assert boundary.points_y[:5] == pytest.approx(points, abs=0.001)
    curve = boundary.evaluate(np.linspace(*between, 8))
    assert curve == pytest.approx(heights, abs=1 if options.fixed_points else 0.05)
    if case == "documented values":
        counts = simulated.counts
        assert counts.sum() == 29944
        assert counts.sum(axis=1)[:6].tolist() == [5113, 4482, 4041, 3413, 2770, 2328]
        assert counts.sum(axis=0)[:6].tolist() == [259, 855, 1799, 2620, 2342, 1799]
        assert (counts @ np.arange(100)).sum() == 700898


@pytest.mark.usefixtures("quick")
def test_seeds():
    expected = level_exposures(5, shape=(20, 20))
    runs = [
        simulate(expected, low=-5, high=20, options=replace(OPTIONS, seed=seed)).counts
        for seed in (1, 1, 2, None, None)
    ]
    same = [np.array_equal(runs[i], runs[j]) for i, j in ((0, 1), (0, 2), (3, 4))]
    assert same == [True, False, False]


@pytest.mark.usefixtures("quick")
def test_only_used_pixels_are_counted():
    used = np.zeros((20, 30), dtype=bool)
    used[3:5, 7:12] = True
    image = np.zeros((20, 30), dtype=np.float32)
    image[used] = 1000
    expected = ExpectedExposures((image,) * 3, np.ones(3), 1.0, 3.0)
    simulated = simulate(expected, low=-10, high=1200, used=used)
    assert simulated.n_pixels == 10
    assert simulated.counts.sum() == 50
    assert moments(simulated)[0] > 900
    with pytest.raises(ValueError, match="no pixel is left to simulate"):
        simulate(expected, low=-10, high=1200, used=np.zeros_like(used))


@pytest.mark.usefixtures("quick")
def test_gain_and_noise_of_each_pixel():
    image = np.full((50, 100), 100, dtype=np.float32)
    gain, noise = np.full((2, 50, 100), 1.0)
    gain[:, 50:], noise[:] = 4, 0.01
    expected = ExpectedExposures((image,) * 3, np.ones(3), gain, noise)
    half = np.zeros((50, 100), dtype=bool)
    half[:, 50:] = True
    options = replace(OPTIONS, ydiag_max=200.0)
    noisy = simulate(expected, low=50, high=150, used=~half, options=options)
    quiet = simulate(expected, low=50, high=150, used=half, options=options)
    assert moments(noisy)[1] == pytest.approx(0.8463 * 10, rel=0.03)
    assert moments(quiet)[1] == pytest.approx(0.8463 * 5, rel=0.03)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("gain", [1e17, 1e37])
def test_light_without_photon_noise(gain):
    expected = level_exposures(500, gain=gain, read_noise=3.0)
    options = replace(OPTIONS, bins="uniform")
    simulated = simulate(expected, low=480, high=520, options=options)
    assert moments(simulated) == pytest.approx((500 - 0.8463 * 3, 0.8463 * 3), abs=0.1)


@pytest.mark.usefixtures("quick")
def test_pixels_above_the_axis_are_counted_and_reported():
    options = replace(OPTIONS, ydiag_max=2.0, bins="uniform")
    simulated = simulate(level_exposures(0), low=-6, high=6, options=options)
    assert simulated.y_edges[-1] == 2
    assert simulated.counts.sum() + simulated.above.sum() == 50000
    # Median minus minimum of three exceeds 2 sigma in 5.6 % of all cases.
    assert simulated.above.sum() / 50000 == pytest.approx(brute_force_excess(2.0), abs=0.005)
    assert "above the vertical axis" in simulated.warnings[0]
    assert not simulate(level_exposures(0), low=-6, high=6).warnings


def brute_force_excess(limit):
    """Probability that the median of three normal values exceeds their minimum by a limit."""
    m = np.linspace(-9, 9, 4001)
    # One is the minimum, both others exceed it by more.
    return np.sum(3 * stats.norm.pdf(m) * stats.norm.sf(m + limit) ** 2) * (m[1] - m[0])


@pytest.mark.usefixtures("quick")
def test_the_axis_reaches_over_fixed_points_and_further_with_shifts():
    options = replace(OPTIONS, bins="uniform")
    plain = simulate(level_exposures(0), low=-6, high=6, options=options)
    shifted = simulate(replace(level_exposures(0), shifted=True), low=-6, high=6, options=options)
    assert shifted.y_edges[-1] == pytest.approx(2 * plain.y_edges[-1])
    high = replace(options, fixed_points=((0.0, 1000.0),))
    assert simulate(level_exposures(0), low=-6, high=6, options=high).y_edges[-1] == 1050


@pytest.mark.usefixtures("quick")
def test_adapted_columns_are_narrow_where_the_pixels_are():
    rng = np.random.default_rng(3)
    image = np.where(rng.uniform(size=(200, 200)) < 0.99, 10.0, 5000.0).astype(np.float32)
    expected = ExpectedExposures((image,) * 3, np.ones(3), 1.0, 3.0)
    lowest = np.minimum.reduce([rng.poisson(image) for _ in range(3)]).astype(np.float32)
    used = np.ones(image.shape, dtype=bool)
    adapted, uniform = (
        simulate_diagram(expected, lowest=lowest, used=used, options=replace(OPTIONS, bins=bins))
        for bins in ("adapted", "uniform")
    )
    for simulated in (adapted, uniform):
        assert np.all(np.diff(simulated.x_edges) > 0)
        assert simulated.x_edges[[0, -1]] == pytest.approx(uniform.x_edges[[0, -1]], rel=1e-5)
        assert simulated.counts.sum() > 0.999 * 200000
    # Nearly all pixels lie within three of the even columns, and in most of the adapted ones.
    faint = [np.count_nonzero(s.x_edges < 60) for s in (adapted, uniform)]
    assert faint[0] > 30
    assert faint[1] < 5
    assert adapted.counts.sum(axis=0).max() < 0.15 * adapted.counts.sum()


# --- expectations -------------------------------------------------------------------------------


def images_of(data):
    return diagram_images(data, cr_coincidences=2)


@pytest.fixture
def data():
    rng = np.random.default_rng(11)
    return rng.normal(50, 5, (3, 12, 14)).astype(np.float32)


def expect(images, **changes):
    arguments = {"gain": 1.0, "read_noise": 3.0, "options": OPTIONS, "flux_factors": np.ones(3)}
    return expected_exposures(images, **(arguments | changes))


def test_a_larger_factor_makes_the_simulated_exposure_brighter(data):
    images = images_of(data)
    factors = np.array([1.0, 0.5, 2.0])
    expected = expect(images, flux_factors=factors)
    for signal, factor in zip(expected.signal, factors, strict=True):
        assert signal == pytest.approx(images.median * factor)
    assert expected.divisors.tolist() == [1, 1, 1]


@pytest.mark.usefixtures("quick")
def test_exposures_that_were_divided_are_simulated_and_then_divided(data):
    factors = np.array([1.0, 0.5, 2.0])
    expected = expect(images_of(data), flux_factors=factors, apply_flux_factor_to="original")
    assert expected.divisors.tolist() == factors.tolist()
    assert expected.signal[2] == pytest.approx(2 * images_of(data).median)
    # The brighter exposure has the better signal-to-noise ratio: its noise shrinks with it.
    bright = level_exposures(400, read_noise=0.01, divisors=[4, 4, 4])
    assert moments(simulate(bright, low=80, high=120))[1] == pytest.approx(0.8463 * 5, rel=0.03)


def test_flagged_pixels_of_the_median_take_the_lowest_signal(data):
    mask = np.zeros((12, 14), dtype=bool)
    mask[4, 5] = True
    images = images_of(data)
    (signal, *_) = expect(images, flagged=mask).signal
    assert signal[4, 5] == images.lowest[4, 5]
    assert np.array_equal(signal[~mask], images.median[~mask])


def test_what_light_cannot_have_is_none(data):
    data[:, 0, 0] = -7
    data[:, 0, 1] = np.nan
    (signal, *_) = expect(images_of(data)).signal
    assert signal[0, 0] == 0
    assert signal[0, 1] == 0


def test_offsets_shift_the_expectation(data):
    data[:] = 0
    data[:, 5, 6] = 100
    expected = expect(images_of(data), offsets=np.array([[0, 0], [2, -1], [0.5, 0]]))
    assert expected.shifted
    assert expected.signal[1][4, 8] == 100
    # Between two pixels, a little above half of it in both: interpolated by a polynomial.
    assert np.all((expected.signal[2][5, 6:8] > 50) & (expected.signal[2][5, 6:8] < 75))
    assert all(signal.min() == 0 for signal in expected.signal)


def test_single_exposures_are_simulated_from_themselves(data):
    options = replace(OPTIONS, synthetic="single")
    cleaned = [plane + 1 for plane in data]
    factors = np.array([1.0, 0.5, 2.0])
    expected = expect(images_of(data), options=options, cleaned=cleaned, flux_factors=factors)
    # They have their own flux: the factors are in them already.
    for signal, plane in zip(expected.signal, data, strict=True):
        assert np.array_equal(signal, plane + 1)
    expected = expect(
        images_of(data),
        options=options,
        cleaned=cleaned,
        flux_factors=factors,
        apply_flux_factor_to="original",
    )
    assert expected.signal[2] == pytest.approx(2 * (data[2] + 1))
    with pytest.raises(ValueError, match="does not go with offsets"):
        expect(images_of(data), options=options, cleaned=cleaned, offsets=np.zeros((3, 2)))
    for nothing in (None, [None] * 3, cleaned[:2]):
        with pytest.raises(ValueError, match="cleaned by a detector"):
            expect(images_of(data), options=options, cleaned=nothing)
