"""The figure of the cleaning is written, also with pixels without data."""

import numpy as np

from crsteps.flicker_noise.figures import plot_cleaning


def test_figure_is_written(tmp_path):
    random = np.random.default_rng(1)
    after = random.normal(10, 1, (64, 64)).astype(np.float32)
    stripes = np.repeat(random.normal(0, 2, (64, 1)), 64, axis=1)
    before = after + stripes
    before[3:5, 7] = np.nan
    path = tmp_path / "cleaning.png"
    plot_cleaning(path, before=before, after=after)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000


def test_nothing_removed_is_drawn_too(tmp_path):
    image = np.random.default_rng(2).normal(size=(32, 32))
    plot_cleaning(tmp_path / "same.png", before=image, after=image)
    assert (tmp_path / "same.png").is_file()
