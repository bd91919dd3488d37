"""Tracks: charge is conserved, lies along the track and is spread as asked."""

import numpy as np
import pytest

from crsteps.simulation.cosmic_ray_tracks import (
    TrackPopulation,
    Tracks,
    deposit_charge,
    draw_tracks,
)


def one_sample(charge=1000.0, diffusion=0.35):
    """Return a single point of charge."""
    zero = np.zeros(1)
    return Tracks(np.zeros(1, int), zero, zero, zero + charge, zero + diffusion, 1)


@pytest.mark.parametrize(("x", "y"), [(10.0, 12.0), (10.3, 11.6), (9.5, 12.49)])
def test_charge_is_conserved_and_centred(x, y):
    image = deposit_charge(one_sample(), [x], [y], shape=(25, 20))
    rows, columns = np.indices(image.shape)
    assert image.sum() == pytest.approx(1000, rel=1e-5)
    # the centroid of a Gaussian integrated over pixels is off by exp(-2 (pi sigma)^2)/pi at most
    assert (image * columns).sum() / image.sum() == pytest.approx(x, abs=0.029)
    assert (image * rows).sum() / image.sum() == pytest.approx(y, abs=0.029)


def test_diffusion_is_gaussian_in_pixels():
    from scipy.stats import norm

    image = deposit_charge(one_sample(), [10.2], [10.0], shape=(21, 21))
    share = norm.cdf(11.5, 10.2, 0.35) - norm.cdf(10.5, 10.2, 0.35)
    assert image[:, 11].sum() == pytest.approx(1000 * share, rel=1e-5)


def test_charge_outside_is_lost():
    image = deposit_charge(one_sample(), [-0.5], [5.0], shape=(10, 10))
    assert image.sum() == pytest.approx(500, rel=1e-5)
    assert deposit_charge(one_sample(), [-9.0], [5.0], shape=(10, 10)).sum() == 0


def test_no_tracks():
    tracks = draw_tracks(0, np.random.default_rng(1))
    assert deposit_charge(tracks, [], [], shape=(4, 5)).sum() == 0


def test_tracks_are_centred_on_their_origin():
    tracks = draw_tracks(500, np.random.default_rng(2))
    n_samples = np.bincount(tracks.track)
    for position in (tracks.x, tracks.y):
        middle = np.bincount(tracks.track, weights=position) / n_samples
        assert np.abs(middle).max() < 1e-9


def test_straight_tracks_are_straight_and_isotropic():
    straight = TrackPopulation(worm_fraction=0.0, thickness=3.0)
    tracks = draw_tracks(4000, np.random.default_rng(3), population=straight)
    first = np.r_[True, np.diff(tracks.track) > 0]
    last = np.r_[first[1:], True]
    dx, dy = tracks.x[last] - tracks.x[first], tracks.y[last] - tracks.y[first]
    across = tracks.x * dy[tracks.track] - tracks.y * dx[tracks.track]
    assert np.abs(across).max() < 1e-6
    # tan of the zenith angle is above 1 for cos below 1/sqrt(2): projected longer than deep
    long = np.hypot(dx, dy) > straight.thickness - 0.2
    assert long.mean() == pytest.approx(np.sqrt(0.5), abs=0.03)
    angle = 2 * np.arctan2(dy, dx)[long]
    assert np.hypot(np.cos(angle).mean(), np.sin(angle).mean()) < 0.05


def test_charge_of_electrons():
    """Log-uniform within the limits, whatever the path."""
    worms = TrackPopulation(worm_fraction=1.0, worm_charge=(50.0, 20000.0))
    tracks = draw_tracks(3000, np.random.default_rng(4), population=worms)
    charge = np.bincount(tracks.track, weights=tracks.charge)
    assert charge.min() >= 50 * (1 - 1e-9)
    assert charge.max() <= 20000 * (1 + 1e-9)
    assert np.log(charge).mean() == pytest.approx(np.log(1000), abs=0.1)
