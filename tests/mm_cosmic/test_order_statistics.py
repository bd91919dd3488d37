"""Variances of order statistics against drawn samples and across the change to the asymptote."""

import numpy as np
import pytest

from crsteps.mm_cosmic.order_statistics import median_variance, minimum_variance


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 24])
def test_variances_against_drawn_samples(n):
    values = np.sort(np.random.default_rng(n).normal(size=(200_000, n)), axis=1)
    assert median_variance(n) == pytest.approx(np.median(values, axis=1).var(), rel=0.015)
    assert minimum_variance(n) == pytest.approx(values[:, 0].var(), rel=0.015)


def test_many_values_go_on_smoothly_to_the_asymptote():
    variances = [median_variance(n) * n for n in range(90, 112, 2)]
    assert np.all(np.abs(np.diff(variances)) < 0.005)
    assert median_variance(10_201) == pytest.approx(np.pi / 2 / 10_201, rel=1e-3)
