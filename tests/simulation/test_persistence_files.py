"""Files of darks after a flat field, read back."""

import numpy as np
import pytest

from crsteps.datamodels.dark_files import open_dark
from crsteps.datamodels.persistence_inputs import exposure_timing, fluence_of_dark
from crsteps.simulation.persistence_files import flat_end, write_nisp_series
from crsteps.simulation.persistence_series import DarkSeriesOptions, simulate_dark_series


def test_round_trip(tmp_path):
    options = DarkSeriesOptions(shape=(12, 16), n_darks=3)
    series = {n: simulate_dark_series(options, seed=s) for s, n in enumerate(("DET11", "DET44"))}
    flat, darks = write_nisp_series(tmp_path, series)
    assert sorted(tmp_path.iterdir()) == [*darks, flat]
    timing = exposure_timing(flat)
    end = flat_end(series["DET11"])
    assert timing.end == pytest.approx(end * 86400, abs=1e-3)
    for name, one in series.items():
        image = open_dark(flat).read(name)
        fluence = fluence_of_dark(image, timing, electrons_per_adu=1.95, offset=1024)
        np.testing.assert_allclose(fluence, one.fluence, atol=1.5)
        for path, dark, delay in zip(darks, one.darks, one.delays, strict=True):
            start = exposure_timing(path).start
            assert start == pytest.approx(end * 86400 + delay, abs=1e-3)
            values = open_dark(path).read(name).data
            np.testing.assert_allclose((values - 1024) * 1.95, dark, atol=1)
