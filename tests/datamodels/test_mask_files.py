"""Files of masks read back: ours, those of numina-crmasks, and what is no such file."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from crsteps.datamodels.mask_files import read_masks
from crsteps.datamodels.products import write_masks
from crsteps.errors import CrstepsInputError

SHAPE = (5, 7)
NAMES = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR")


def masks():
    """Return a mask of one pixel of its own for each extension."""
    found = {name: np.zeros(SHAPE, np.uint8) for name in NAMES}
    for i, mask in enumerate(found.values()):
        mask.flat[i] = 1
    return found


@pytest.fixture
def path(tmp_path):
    """Return a file with all extensions that numina-crmasks writes."""
    replaced = Table([[2], [3], [5], [1]], names=("X_pixel", "Y_pixel", "X_width", "Y_width"))
    return write_masks(
        tmp_path / "crmasks.fits",
        masks(),
        images={"AUXCLEAN": np.full(SHAPE, 8, np.float32)},
        tables={"RPMEDIAN": replaced},
    )


def test_every_mask_is_the_one_of_its_name(path):
    read = read_masks(path, 3, SHAPE)
    found = (read.mediancr, read.meancrt, *read.exposure_masks, read.meancr)
    for i, mask in enumerate(found):
        assert mask.dtype == bool
        assert np.flatnonzero(mask).tolist() == [i]
    assert read.suspect_masks is None
    assert np.all(read.cleaned_median == 8)
    assert read.replaced.tolist() == [[2, 3, 5, 1]]


def test_what_only_our_files_have(tmp_path):
    suspects = {f"SUSPECT{i}": np.full(SHAPE, i == 2, np.uint8) for i in (1, 2, 3)}
    images = {"AUXCLEAN": np.full(SHAPE, 8, np.float32)} | suspects
    path = write_masks(tmp_path / "m.fits", masks(), images=images, cards={"AUXGAIN": 2.0})
    read = read_masks(path, 3, SHAPE)
    assert [bool(mask.all()) for mask in read.suspect_masks] == [False, True, False]
    assert np.all(read.cleaned_median == 4)
    assert read.replaced.shape == (0, 4)


def test_a_file_without_cleaned_median_has_none(tmp_path):
    read = read_masks(write_masks(tmp_path / "m.fits", masks()), 3, SHAPE)
    assert read.cleaned_median is None


@pytest.mark.parametrize(
    ("n_exposures", "shape", "words"),
    [
        (2, SHAPE, "has a mask CRMASK3, and 2 exposures"),
        (4, SHAPE, "has no mask CRMASK4"),
        (3, (7, 5), r"shape \(5, 7\), and the exposures have \(7, 5\)"),
    ],
)
def test_masks_of_other_exposures_are_refused(path, n_exposures, shape, words):
    with pytest.raises(CrstepsInputError, match=words) as error:
        read_masks(path, n_exposures, shape)
    assert str(path) in str(error.value)


def test_other_files_are_refused(tmp_path):
    fits.writeto(tmp_path / "image.fits", np.zeros(SHAPE))
    with pytest.raises(CrstepsInputError, match="has no mask CRMASK1"):
        read_masks(tmp_path / "image.fits", 3, SHAPE)
    (tmp_path / "text.fits").write_text("no FITS file")
    with pytest.raises(CrstepsInputError, match=r"text\.fits"):
        read_masks(tmp_path / "text.fits", 3, SHAPE)
