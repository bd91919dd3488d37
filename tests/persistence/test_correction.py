"""Corrections against sums over frames by quadrature, and against simulated truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from crsteps.persistence import correction
from crsteps.persistence.correction import CorrectionOptions, correct_ramp, correct_rates
from crsteps.persistence.decay import Decay, PersistenceModel
from crsteps.persistence.decay_blocks import walk_blocks
from crsteps.persistence.group_charge import GroupTimes
from crsteps.persistence.history import History, Stimulus
from crsteps.persistence.power_law import Covariance
from crsteps.persistence.stimulus import ConstantCurve

MJD = 60000 * 86400.0
TIMES = GroupTimes.regular(4, n_frames=3, n_drops=1, frame_time=10.737)
EVERYTHING = CorrectionOptions(minimum_significance=0.0, systematic=0.0)


def make_decay(pixels, amplitude, *, gamma=1.0, end=0.0, covariance=None):
    """Return a decay in some pixels."""
    n = len(pixels)
    return Decay(
        np.array(pixels, np.int64),
        np.broadcast_to(amplitude, n).astype(np.float32),
        np.broadcast_to(gamma, n).astype(np.float32),
        Covariance() if covariance is None else covariance,
        end,
        1000.0,
    )


def group_charges(amplitude, gamma, delay, times=TIMES):
    """Return the mean charge of the frames of each group, by quadrature from reset to frame."""

    def charge(frame):
        def rate(t):
            return amplitude * (t / 1000.0) ** -gamma

        return quad(rate, delay, delay + frame, epsabs=0, epsrel=1e-12)[0]

    return np.array([np.mean([charge(frame) for frame in group]) for group in times.frames])


def rate_of(charges, times=TIMES):
    """Return the rate of an integration: last less first group over the time between them."""
    means = [np.mean(group) for group in times.frames]
    return (charges[-1] - charges[0]) / (means[-1] - means[0])


def test_ramps_against_frames():
    """Two stimuli, two integrations, one pixel with both, a gap between the affected pixels."""
    first = make_decay([0, 1, 5], [0.3, 2.0, 50.0], gamma=[0.7, 1.0, 1.4], end=MJD)
    second = make_decay([1, 2], [0.1, 0.4], gamma=[1.1, 0.9], end=MJD + 200)
    resets = np.array([300.0, 480.0])
    for dtype in (np.float32, np.float64, ">f4"):
        ramp = np.zeros((2, 4, 2, 4), dtype)
        result = correct_ramp(
            ramp, decays=[first, second], times=TIMES, resets=MJD + resets, options=EVERYTHING
        )
        expected = np.zeros((2, 4, 8))
        for decay, ended in ((first, 0.0), (second, 200.0)):
            for pixel, a, g in zip(decay.pixels, decay.amplitude, decay.gamma, strict=True):
                for i, reset in enumerate(resets):
                    expected[i, :, pixel] += group_charges(float(a), float(g), reset - ended)
        np.testing.assert_allclose(-ramp.reshape(2, 4, 8), expected, rtol=3e-6)
        rates = [[rate_of(expected[i, :, p]) for p in range(8)] for i in range(2)]
        np.testing.assert_allclose(result.rate.ravel(), np.mean(rates, axis=0), rtol=3e-6)
        assert result.rate.dtype == result.variance.dtype == np.float32
        assert list(np.flatnonzero(result.subtracted)) == [0, 1, 2, 5]
        assert result.n_stimuli == 2


@pytest.mark.parametrize("gamma", [(0.1, 2.0), (0.95, 1.05)])
@pytest.mark.parametrize(
    ("delay", "frame_time"), [(1.0, 10.0), (100.0, 10.0), (1e6, 10.0), (1.0, 2000.0)]
)
def test_wide_and_narrow_ranges_of_slopes(gamma, delay, frame_time, monkeypatch):
    """Slopes that grow from block to block, so that the table of slopes has to be extended."""
    monkeypatch.setattr(correction, "_FEWEST_PIXELS", 50)
    monkeypatch.setattr(correction, "_MOST_PIXELS", 50)
    times = GroupTimes.regular(10, n_frames=4, n_drops=1, frame_time=frame_time)
    ramp = np.zeros((1, 10, 20, 30), np.float32)
    decay = make_decay(np.arange(600), 1.0, gamma=np.linspace(*gamma, 600))
    arguments = {"decays": [decay], "times": times, "resets": [delay], "options": EVERYTHING}
    rate = correct_ramp(ramp, **arguments).rate.ravel()
    for pixel in (0, 123, 300, 471, 599):
        expected = group_charges(1.0, float(decay.gamma[pixel]), delay, times)
        np.testing.assert_allclose(-ramp.reshape(10, -1)[:, pixel], expected, rtol=1e-5)
        np.testing.assert_allclose(rate[pixel], rate_of(expected, times), rtol=1e-5)


def test_rates_against_frames():
    decays = [make_decay([0, 2], [0.3, 2.0], gamma=[0.7, 1.2])]
    resets = [60.0, 260.0, 460.0]
    rates = np.ones((3, 1, 3), np.float32)
    result = correct_rates(rates, decays=decays, times=TIMES, resets=resets, options=EVERYTHING)
    expected = np.array(
        [
            [rate_of(group_charges(0.3, 0.7, r)), 0, rate_of(group_charges(2.0, 1.2, r))]
            for r in resets
        ]
    )
    np.testing.assert_allclose(rates[:, 0], 1 - expected, atol=3e-7)
    np.testing.assert_allclose(result.rate[0], expected.mean(axis=0), rtol=1e-6)
    # one image that is the mean of all integrations
    mean = np.ones((1, 1, 3))
    correct_rates(mean, decays=decays, times=TIMES, resets=resets, options=EVERYTHING)
    np.testing.assert_allclose(mean[0, 0], 1 - expected.mean(axis=0), rtol=1e-6)


def test_single_group_is_a_charge_since_the_reset():
    times = GroupTimes(([10.0, 20.0, 30.0],))
    ramp = np.zeros((1, 1, 1, 2), np.float32)
    decay = make_decay([1], 2.0, gamma=1.1)
    result = correct_ramp(ramp, decays=[decay], times=times, resets=[50.0], options=EVERYTHING)
    (charge,) = group_charges(2.0, float(np.float32(1.1)), 50.0, times)
    np.testing.assert_allclose(ramp.ravel(), [0, -charge], rtol=1e-6)
    np.testing.assert_allclose(result.rate, [[0, charge / 20.0]], rtol=1e-6)
    rates = np.zeros((1, 1, 2), np.float32)
    correct_rates(rates, decays=[decay], times=times, resets=[50.0], options=EVERYTHING)
    np.testing.assert_allclose(rates.ravel(), [0, -charge / 20.0], rtol=1e-6)


def numerical_error(amplitude, gamma, delays, covariance):
    """Return the error of the mean rate by differences of quadratures."""

    def mean_rate(a, g):
        return np.mean([rate_of(group_charges(a, g, d)) for d in delays])

    step = 1e-4
    by_a = (mean_rate(amplitude + step, gamma) - mean_rate(amplitude - step, gamma)) / (2 * step)
    by_g = (mean_rate(amplitude, gamma + step) - mean_rate(amplitude, gamma - step)) / (2 * step)
    derivatives = np.array([by_a, by_g])
    matrix = [[covariance[0], covariance[2]], [covariance[2], covariance[1]]]
    return np.sqrt(derivatives @ matrix @ derivatives)


def test_variance_of_two_stimuli_and_several_integrations():
    covariances = Covariance(0.01, 0.02, -0.009), Covariance(0.003, 0.01, 0.002)
    first = make_decay([0, 1], 0.5, gamma=1.25, covariance=covariances[0])
    second = make_decay([1], 0.25, gamma=0.75, end=100.0, covariance=covariances[1])
    resets = np.array([200.0, 800.0])
    options = CorrectionOptions(systematic=0.05, minimum_significance=0.0)
    result = correct_ramp(
        np.zeros((2, 4, 1, 2)), decays=[first, second], times=TIMES, resets=resets, options=options
    )
    one = numerical_error(0.5, 1.25, resets, covariances[0])
    other = numerical_error(0.25, 0.75, resets - 100, covariances[1])
    rate = result.rate[0]
    expected = [one**2 + (0.05 * rate[0]) ** 2, (one + other) ** 2 + (0.05 * rate[1]) ** 2]
    np.testing.assert_allclose(result.variance[0], expected, rtol=1e-5)


def test_variances_of_rates_are_added():
    covariance = Covariance(0.01, 0.02, -0.009)
    decay = make_decay([0, 1, 2], [0.5, 0.5, 1e-3], gamma=1.25, covariance=covariance)
    resets = np.array([200.0, 800.0])
    variances = np.full((2, 1, 4), 7.0)
    result = correct_rates(
        np.zeros((2, 1, 4)),
        decays=[decay],
        times=TIMES,
        resets=resets,
        variances=variances,
        usable=[[True, False, True, True]],
        options=CorrectionOptions(systematic=0.05),
    )
    for i, reset in enumerate(resets):
        rate = rate_of(group_charges(0.5, 1.25, reset))
        added = numerical_error(0.5, 1.25, [reset], covariance) ** 2 + (0.05 * rate) ** 2
        # neither unusable nor insignificant pixels were corrected
        np.testing.assert_allclose(variances[i, 0] - 7, [added, 0, 0, 0], rtol=1e-5)
    assert list(result.subtracted[0]) == [True, False, False, False]
    np.testing.assert_array_equal(
        result.added_variance[0], np.where(result.subtracted[0], result.variance[0], 0)
    )
    assert np.all(result.variance[0, :3] > 0)


@pytest.mark.parametrize("delay", [30.0, 1000.0, 2e4])
@pytest.mark.parametrize("n_stimuli", [1, 3])
def test_variance_covers_wrong_amplitudes_and_slopes(delay, n_stimuli):
    """Amplitudes wrong by 20 % and slopes by 0.1: pulls of what remains, by simulation."""
    n = 4000
    rng = np.random.default_rng(7)
    shape = (1, n)
    curve = ConstantCurve(amplitude=0.3, gamma=1.0)
    assumed = PersistenceModel(
        curve, covariance=Covariance(0.2**2, 0.1**2, 0.0), forgetting_rate=0.0
    )
    truth = PersistenceModel(
        curve,
        amplitude_scale=1 + 0.2 * rng.choice([-1, 1], shape),
        gamma_offset=0.1 * rng.choice([-1, 1], shape),
        forgetting_rate=0.0,
    )
    ends = [-500.0 * i for i in range(n_stimuli)]
    fluence = np.full(shape, 1e5)
    ramp = np.zeros((1, 4, *shape))
    true_decays = [truth.decay(fluence, end=end) for end in ends]
    correct_ramp(ramp, decays=true_decays, times=TIMES, resets=[delay], options=EVERYTHING)
    ramp *= -1  # what persistence really adds
    before = rate_of(ramp[0, :, 0])
    decays = [assumed.decay(fluence, end=end) for end in ends]
    options = CorrectionOptions(systematic=0.0)
    result = correct_ramp(ramp, decays=decays, times=TIMES, resets=[delay], options=options)
    pull = rate_of(ramp[0, :, 0]) / np.sqrt(result.variance[0])
    assert np.std(pull) < (1.05 if n_stimuli == 1 else 1.2)
    assert np.std(pull) > (0.9 if n_stimuli == 1 else 0.5)
    assert result.subtracted.all()
    assert np.std(rate_of(ramp[0, :, 0])) < 0.5 * np.sqrt(np.mean(before**2))


@pytest.mark.parametrize("delay", [30.0, 60.0, 300.0, 1000.0, 2e4])
@pytest.mark.parametrize("n_stimuli", [1, 3])
@pytest.mark.parametrize("factor", [0.8, 1.2])
@pytest.mark.parametrize("offset", [-0.1, 0.1])
def test_error_covers_a_reference_that_is_wrong_everywhere(delay, n_stimuli, factor, offset):
    """Nobody knows which way, nor whether both go the same way."""
    covariance = Covariance(0.2**2, 0.1**2, np.nan)
    assumed = PersistenceModel(
        ConstantCurve(0.3 * factor, 1.0 + offset), covariance=covariance, forgetting_rate=0.0
    )
    truth = PersistenceModel(ConstantCurve(0.3, 1.0), forgetting_rate=0.0)
    fluence, ramp = np.full((1, 1), 1e5), np.zeros((1, 4, 1, 1))
    ends = [-500.0 * i for i in range(n_stimuli)]
    given = {"times": TIMES, "resets": [delay]}
    true_decays = [truth.decay(fluence, end=end) for end in ends]
    correct_ramp(ramp, decays=true_decays, **given, options=EVERYTHING)
    ramp *= -1
    decays = [assumed.decay(fluence, end=end) for end in ends]
    options = CorrectionOptions(systematic=0.1)
    result = correct_ramp(ramp, decays=decays, **given, options=options)
    assert result.subtracted.all()
    assert abs(rate_of(ramp[0, :, 0])) < 1.2 * np.sqrt(result.variance[0])


def test_not_subtracted_where_it_is_not_known():
    """Pixels whose prediction is below its error are no worse than before, the others better."""
    n = 3000
    rng = np.random.default_rng(3)
    error = np.where(np.arange(n) % 2, 0.3, 2.0)  # relative
    true = 0.02 * np.maximum(1 + error * rng.normal(size=n), 0)
    covariance = Covariance((0.02 * error).astype(np.float32) ** 2, 0.0, 0.0)
    decay = make_decay(np.arange(n), 0.02, covariance=covariance)
    rates = np.zeros((1, 1, n))
    truth = make_decay(np.flatnonzero(true), true[true > 0])
    arguments = {"times": TIMES, "resets": [500.0]}
    correct_rates(rates, decays=[truth], options=EVERYTHING, **arguments)
    rates *= -1
    before = rates.copy()
    result = correct_rates(rates, decays=[decay], **arguments)
    np.testing.assert_array_equal(result.subtracted[0], error < 1)
    np.testing.assert_array_equal(rates[0, 0, error > 1], before[0, 0, error > 1])
    good = error < 1
    assert np.mean(rates[0, 0, good] ** 2) < 0.15 * np.mean(before[0, 0, good] ** 2)
    # everything on request
    everything = CorrectionOptions(minimum_significance=0.0)
    assert correct_rates(before, decays=[decay], options=everything, **arguments).subtracted.all()


def test_unknown_errors_are_not_subtracted():
    covariance = Covariance(np.array([np.nan, 0.0, 0.0], np.float32), 0.0, 0.0)
    decay = make_decay([0, 1, 2], [1.0, 1.0, np.nan], covariance=covariance)
    ramp = np.zeros((1, 4, 1, 3))
    result = correct_ramp(ramp, decays=[decay], times=TIMES, resets=[100.0])
    assert list(result.subtracted[0]) == [False, True, False]
    assert not ramp[..., [0, 2]].any()
    assert np.isnan(result.variance[0, 0])


def test_flags():
    amplitudes = np.array([1e-3, 0.01, 0.1, 1.0, 10.0])
    decay = make_decay(np.arange(5), amplitudes)
    rate = rate_of(group_charges(1.0, 1.0, 100.0)) * amplitudes
    arguments = {"decays": [decay], "times": TIMES, "resets": [100.0]}

    def flags(noise=0.0, usable=None, **options):
        result = correct_rates(
            np.zeros((1, 1, 5)),
            noise=noise,
            usable=usable,
            options=CorrectionOptions(**options),
            **arguments,
        )
        return list(result.persistence_flag[0]), list(result.bad_flag[0])

    def above(*values):
        return [bool(v) for v in values]

    none = [False] * 5
    assert flags(flag_rate=0.5, bad_rate=5.0) == (list(rate > 0.5), list(rate > 5.0))
    assert flags(flag_rate=None) == (none, none)
    noisy = rate / np.hypot(0.1 * rate, 0.15)
    assert above(*(noisy > 3)) == [False, False, True, True, True]
    assert flags(0.15, flag_rate=None, flag_significance=3.0, bad_significance=9.5) == (
        list(noisy > 3),
        list(noisy > 9.5),
    )
    image = np.array([[1e-9, 1e9, 1e9, 1e-9, 1e9]])
    assert flags(image, flag_rate=None, flag_significance=3.0)[0] == above(1, 0, 0, 1, 0)
    # either is enough; unusable pixels are not flagged
    assert flags(image, flag_rate=5.0, flag_significance=3.0)[0] == above(1, 0, 0, 1, 1)
    usable = np.array([[False, True, True, True, False]])
    assert flags(image, usable, flag_rate=5.0, flag_significance=3.0)[0] == above(0, 0, 0, 1, 0)


def test_fractions_of_pixels():
    relative = np.array([0.0, 0.0, 0.5, 0.5, 2.0, 2.0])
    amplitude = np.array([1.0, 0.2, 1.0, 0.2, 1.0, 0.2]) / rate_of(group_charges(1, 1, 100.0))
    covariance = Covariance((relative * amplitude).astype(np.float32) ** 2, 0.0, 0.0)
    decay = make_decay([2, 3, 5, 6, 8, 9], amplitude, covariance=covariance)
    options = CorrectionOptions(systematic=0.05, thresholds=(0.3, 0.1, 0.02, 0.005))
    result = correct_rates(
        np.zeros((1, 3, 4)), decays=[decay], times=TIMES, resets=[100.0], options=options
    )
    # predicted 1 and 0.2 e-/s, three pixels each, of twelve
    assert result.fractions_before == (3 / 12, 6 / 12, 6 / 12, 6 / 12)
    # errors 0.05 and 0.01, 0.5025 and 0.1005; the last two are not subtracted
    assert result.fractions_after == (2 / 12, 4 / 12, 5 / 12, 6 / 12)
    assert result.thresholds == options.thresholds
    usable = np.ones((3, 4), bool)
    usable[:, 1:] = False  # of the pixels above, those at 1 and 1: 8
    result = correct_rates(
        np.zeros((1, 3, 4)),
        decays=[decay],
        times=TIMES,
        resets=[100.0],
        usable=usable,
        options=options,
    )
    assert result.fractions_before == (1 / 3, 1 / 3, 1 / 3, 1 / 3)
    assert result.rate[0, 2] > 0
    assert not result.subtracted[0, 2]


def brute_force(decays, resets, shape, how):
    """Return charges (integrations, groups, pixels): sum, or strongest at the first reset."""
    n_pixels = shape[0] * shape[1]
    total = np.zeros((len(resets), len(TIMES.frames), n_pixels))
    for pixel in range(n_pixels):
        charges, strengths = [], []
        for decay in decays:
            for a, g in zip(
                decay.amplitude[decay.pixels == pixel],
                decay.gamma[decay.pixels == pixel],
                strict=True,
            ):
                delays = [reset - decay.end for reset in resets]
                a, g = float(a), float(g)
                charges.append([elementary_charges(a, g, delay) for delay in delays])
                strengths.append(a * (delays[0] / 1000.0) ** -g)
        if charges:
            total[..., pixel] = (
                sum(map(np.array, charges)) if how == "sum" else charges[int(np.argmax(strengths))]
            )
    return total


def elementary_charges(amplitude, gamma, delay):
    """Return the mean charge of each group from the antiderivative; for slopes other than 1."""

    def antiderivative(t):
        return amplitude * 1000.0 * (t / 1000.0) ** (1 - gamma) / (1 - gamma)

    return [
        np.mean([antiderivative(delay + f) - antiderivative(delay) for f in frames])
        for frames in TIMES.frames
    ]


@st.composite
def decay_lists(draw):
    """Draw decays in a few pixels, with different ends."""
    ends = draw(st.lists(st.integers(-20, 0), min_size=0, max_size=5, unique=True))
    decays = []
    for end in ends:
        pixels = sorted(draw(st.sets(st.integers(0, 11), max_size=12)))
        values = st.lists(st.integers(1, 50), min_size=len(pixels), max_size=len(pixels))
        amplitude = np.array(draw(values), float) / 10
        gamma = 0.6 + np.array(draw(values), float) / 130  # 0.61 to 0.985
        decays.append(make_decay(pixels, amplitude, gamma=gamma, end=100.0 * end))
    return decays


@settings(max_examples=60, deadline=None)
@given(decay_lists(), st.sampled_from(["sum", "max"]), st.randoms(), st.integers(1, 4))
def test_any_stimuli_in_any_order(decays, how, random, size):
    shape, resets = (3, 4), [50.0, 400.0]
    options = replace(EVERYTHING, combine=how)
    expected = brute_force(decays, resets, shape, how)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        # blocks of one to four pixels
        patch.setattr(correction, "_FEWEST_PIXELS", size)
        patch.setattr(correction, "_MOST_PIXELS", size)
        for _ in range(2):
            random.shuffle(decays)
            ramp = np.zeros((2, 4, *shape))
            result = correct_ramp(ramp, decays=decays, times=TIMES, resets=resets, options=options)
            results.append((ramp, result.rate, result.variance))
            np.testing.assert_allclose(-ramp.reshape(expected.shape), expected, rtol=1e-5)
            assert result.n_stimuli <= len(decays)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.lists(st.sets(st.integers(0, 60)), max_size=6), st.integers(1, 70))
def test_blocks_have_every_pixel_once(sets, size):
    decays = [
        make_decay(sorted(pixels), 1.0 + np.array(sorted(pixels), float), end=i)
        for i, pixels in enumerate(sets)
    ]
    seen = []
    found = [[] for _ in sets]
    for block in walk_blocks(decays, size=size):
        seen.extend(block.pixels)
        image = np.zeros(61)
        image[block.place] = 1
        assert list(np.flatnonzero(image)) == list(block.pixels)
        for index, part in block.parts:
            own = part.amplitude > 0
            assert np.count_nonzero(own) <= size
            assert np.all(np.isfinite(part.gamma))
            found[index].extend(block.pixels[part.pixels[own]])
            assert list(part.amplitude[own]) == [1.0 + p for p in block.pixels[part.pixels[own]]]
    # pixels between may be there too, but few
    assert seen == sorted(set(seen))
    assert set().union(*sets) <= set(seen)
    assert len(seen) <= 2 * len(set().union(*sets))
    assert found == [sorted(pixels) for pixels in sets]


@pytest.mark.parametrize("left_out", [3, 50])
def test_block_with_gaps(left_out):
    """Few gaps or many: values stay with their pixels, and there is none between."""
    pixels = np.flatnonzero(np.arange(3000) % left_out)
    covariance = Covariance(np.float32(pixels), 0.5, np.float32(-pixels))
    decay = make_decay(pixels, 1.0 + pixels, gamma=2.0 + pixels, covariance=covariance, end=0)
    [block] = walk_blocks([decay], size=5000)
    [(_, part)] = block.parts
    assert part.pixels.size == block.pixels.size == pixels[-1] - pixels[0] + 1
    own = np.isin(block.pixels, pixels)
    np.testing.assert_array_equal(part.amplitude, np.where(own, 1.0 + block.pixels, 0))
    np.testing.assert_array_equal(part.gamma[own], 2.0 + pixels)
    np.testing.assert_array_equal(part.covariance.amplitude[own], pixels)
    np.testing.assert_array_equal(part.covariance.cross[own], -pixels)
    assert part.covariance.gamma == 0.5
    assert np.all(np.isfinite(part.gamma))


class Slices:
    """Pixels of a whole image, or a fluence for all of them, made when a slice is read."""

    def __init__(self, n, value=None):
        self.n, self.value, self.longest = n, value, 0

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        first, last, _ = index.indices(self.n)
        self.longest = max(self.longest, last - first)
        if self.value is None:
            return np.arange(first, last, dtype=np.int32)
        return np.full(last - first, self.value, np.float32)


@pytest.mark.parametrize("how", ["sum", "max"])
def test_a_night_of_stimuli_in_all_pixels(how):
    """A hundred stimuli, none of which is ever read as a whole, in pixels that know no other."""
    shape, n_stimuli = (64, 1024), 100
    n_pixels = shape[0] * shape[1]
    model = PersistenceModel(ConstantCurve(0.2, 0.9), forgetting_rate=0.0)
    history = History(
        "DET11",
        shape,
        tuple(
            Stimulus(f"e{i}", MJD + 300.0 * i, 200.0, Slices(n_pixels), Slices(n_pixels, 1e4))
            for i in range(n_stimuli)
        ),
    )
    start = MJD + 300.0 * n_stimuli
    ramp = np.zeros((1, 4, *shape), np.float32)
    result = correct_ramp(
        ramp,
        decays=history.decays(model, start),
        times=TIMES,
        resets=[start],
        options=replace(EVERYTHING, combine=how),
    )
    delays = 300.0 * np.arange(1, n_stimuli + 1)[: None if how == "sum" else 1]
    expected = np.sum([elementary_charges(0.2, 0.9, delay) for delay in delays], axis=0)
    np.testing.assert_allclose(-ramp[0, :, 0, 0], expected, rtol=1e-5)
    assert np.all(ramp == ramp[:, :, :1, :1])
    assert result.n_stimuli == (n_stimuli if how == "sum" else 1)
    assert max(s.fluence.longest for s in history.stimuli) <= 2**20 // n_stimuli


def test_no_stimuli_and_no_pixels():
    ramp = np.random.default_rng(0).normal(size=(1, 4, 3, 5))
    before = ramp.copy()
    for decays in ([], [make_decay([], [])], iter(())):
        result = correct_ramp(ramp, decays=decays, times=TIMES, resets=[10.0])
        np.testing.assert_array_equal(ramp, before)
        assert not any(
            image.any()
            for image in (result.rate, result.variance, result.subtracted, result.bad_flag)
        )
        assert result.fractions_before == result.fractions_after == (0.0, 0.0, 0.0)
        assert result.n_stimuli == 0
    empty = correct_ramp(np.zeros((1, 4, 0, 5)), decays=[], times=TIMES, resets=[10.0])
    assert empty.rate.shape == (0, 5)
    empty = np.zeros((2, 0, 5))
    correct_rates(empty, decays=[], times=TIMES, resets=[10.0, 20.0], variances=empty.copy())


def test_no_usable_pixel():
    ramp = np.ones((1, 4, 1, 3), np.float32)
    result = correct_ramp(
        ramp,
        decays=[make_decay([0, 1, 2], 1.0)],
        times=TIMES,
        resets=[10.0],
        usable=np.zeros((1, 3), bool),
    )
    assert np.all(ramp == 1)
    assert np.all(result.rate > 0)
    assert not (result.subtracted | result.persistence_flag | result.bad_flag).any()
    assert result.fractions_before == result.fractions_after == (0.0, 0.0, 0.0)


def test_missing_values_stay_where_they_are():
    ramp = np.zeros((1, 4, 1, 6))
    ramp[0, 2, 0, 0] = np.nan
    decay = make_decay(range(5), [1.0, np.nan, 1.0, -1.0, 0.0], gamma=[1, 1, np.nan, 1, 1])
    result = correct_ramp(ramp, decays=[decay], times=TIMES, resets=[10.0])
    assert np.isnan(ramp[0, 2, 0, 0])
    assert np.all(ramp[0, [0, 1, 3], 0, 0] < 0)
    assert not ramp[..., 1:].any()
    assert list(result.rate[0] > 0) == [True] + 5 * [False]


def test_parts_of_arrays_are_corrected_in_place():
    """Some groups, or some integrations, of a longer ramp; not a part of its images."""
    whole = np.zeros((3, 6, 2, 2), np.float32)
    decays = [make_decay([0, 1, 2, 3], 1.0)]
    correct_ramp(whole[::2, 1:5], decays=decays, times=TIMES, resets=[10.0, 99.0])
    assert np.all(whole[::2, 1:5] < 0)
    assert not whole[1].any()
    assert not whole[:, [0, 5]].any()
    padded = np.zeros((1, 4, 4, 4))
    for view in (padded[:, :, 1:3, 1:3], padded[:, :, ::2, :2], np.zeros((2, 2, 4, 1)).T):
        with pytest.raises(ValueError, match=r"images are contiguous|does not have"):
            correct_ramp(view, decays=decays, times=TIMES, resets=[10.0])
        assert not view.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ramp": np.zeros((4, 2, 2))}, "does not have 4 axes"),
        ({"ramp": np.zeros((1, 5, 2, 2))}, "does not have 4 groups"),
        ({"ramp": np.zeros((1, 4, 2, 2), int)}, "float32 or float64"),
        ({"ramp": np.zeros((1, 4, 2, 2), np.float16)}, "float32 or float64"),
        ({"ramp": np.broadcast_to(0.0, (1, 4, 2, 2))}, "float32 or float64"),
        ({"resets": [10.0, 20.0]}, "2 resets for 1 integrations"),
        ({"resets": [np.nan]}, "finite"),
        ({"usable": np.ones((2, 3), bool)}, "mask of usable pixels has shape"),
        ({"noise": np.ones(4)}, "noise has shape"),
        ({"decays": [make_decay([1], 1.0, end=500.0)]}, r"ended 490 s after the exposure began"),
        ({"decays": [make_decay([1], 1.0, end=np.nan)]}, "ended nan s after"),
        ({"decays": [make_decay([1, 4], 1.0)]}, r"another shape than \(2, 2\)"),
        ({"decays": [make_decay([-1, 2], 1.0)]}, r"another shape than \(2, 2\)"),
    ],
)
def test_impossible_input(change, message):
    arguments = {
        "ramp": np.zeros((1, 4, 2, 2)),
        "decays": [make_decay([0, 1], 1.0)],
        "times": TIMES,
        "resets": [10.0],
        **change,
    }
    ramp = arguments.pop("ramp")
    with pytest.raises(ValueError, match=message):
        correct_ramp(ramp, **arguments)
    assert not ramp.any()


def test_impossible_rates_and_histories():
    arguments = {"decays": [], "times": TIMES}
    with pytest.raises(ValueError, match="3 axes"):
        correct_rates(np.zeros((2, 2)), resets=[1.0], **arguments)
    with pytest.raises(ValueError, match="increase"):
        correct_rates(np.zeros((2, 2, 2)), resets=[2.0, 1.0], **arguments)
    with pytest.raises(ValueError, match="variances of shape"):
        correct_rates(
            np.zeros((2, 2, 2)), resets=[1.0, 2.0], variances=np.zeros((1, 2, 2)), **arguments
        )
    # the same number of pixels, but another subarray
    stimulus = Stimulus("a", 0.0, 1.0, np.array([1]), np.array([1e5], np.float32))
    history = History("DET11", (2, 8)).add(stimulus)
    decays = history.decays(PersistenceModel(ConstantCurve(1.0, 1.0)), 50.0)
    with pytest.raises(ValueError, match=r"another shape than \(4, 4\)"):
        correct_rates(np.zeros((1, 4, 4)), decays=decays, times=TIMES, resets=[50.0])


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "median"},
        {"systematic": -0.1},
        {"minimum_significance": np.nan},
        {"flag_rate": -1.0},
        {"bad_significance": np.inf},
        {"thresholds": (0.1, -0.1)},
    ],
)
def test_impossible_options(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))} is|combined"):
        CorrectionOptions(**options)


def test_exposure_that_follows_at_once():
    """Times are rounded: an exposure may seem to begin when, or before, the stimulus ended."""
    rates = np.zeros((4, 1, 1, 1))
    for image, reset in zip(rates, [-0.9, 0.0, 0.5, 1.0], strict=True):
        correct_rates(
            image,
            decays=[make_decay([0], 1.0)],
            times=TIMES,
            resets=[reset],
            options=EVERYTHING,
        )
    assert np.all(np.isfinite(rates))
    assert np.all(np.diff(rates, axis=0) >= -1e-12)  # the power law is cut off at a second
