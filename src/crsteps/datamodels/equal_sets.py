"""Which of many exposures show the same scene on the same pixels, so that they can be compared."""

from dataclasses import dataclass

from crsteps.datamodels.inputs import model_name
from crsteps.datamodels.pointing import distances, model_pointing

_INSTRUMENT = ("detector", "filter", "pupil", "grating", "channel", "band")
_SUBARRAY = ("name", "xstart", "ystart")
_SLIT = ("name", "source_id", "xstart", "ystart")
# How far a rotation moves the slits of an exposure is told by the detector that they lie on.
_WHOLE_DETECTOR = (2048, 2048)


@dataclass(frozen=True)
class Setting:
    """
    What an exposure shows, and on which pixels.

    Attributes
    ----------
    name : str
        Name of the exposure.
    key : tuple
        Detector, optical elements, subarray, slit and shape: equal ones see the same pixels.
    pointing : tuple of float or None
        RA, Dec, roll angle and pixel scale in degrees; None if they are not known.
    """

    name: str
    key: tuple
    pointing: tuple | None

    @property
    def shape(self):
        """Shape (ny, nx) of the image."""
        return self.key[-1]

    @property
    def detector(self):
        """Name of the detector."""
        return str(self.key[0])


@dataclass(frozen=True)
class EqualSets:
    """
    Sets of exposures that can be compared; exposures are numbered as they were given.

    Attributes
    ----------
    sets : tuple of tuple of int
        Exposures of each set.
    left : tuple of int
        Exposures that are in none.
    dithered : float
        Largest distance in pixels between pointings of exposures that see the same pixels and
        would be a set if they pointed alike; 0 if there are none.
    """

    sets: tuple
    left: tuple
    dithered: float


def setting_of(model):
    """
    Find out what a JWST model shows.

    Parameters
    ----------
    model : JwstDataModel
        Image, slit, or an exposure of several slits, of which the first one tells the pointing.

    Returns
    -------
    Setting
    """
    meta, slits = model.meta, getattr(model, "slits", None)
    first = slits[0] if slits else model  # slits of an exposure point alike
    key = [getattr(meta.instrument, name, None) for name in _INSTRUMENT]
    key += [getattr(meta.subarray, name, None) for name in _SUBARRAY]
    shape = None
    if slits is None:
        key += [getattr(model, name, None) for name in _SLIT]
        shape = tuple(model.data.shape)
    pointing = model_pointing(first)
    return Setting(model_name(model), (*key, shape), pointing and tuple(pointing))


def find_equal_sets(settings, *, fewest, largest_distance):
    """
    Sort exposures into sets of equal ones.

    Parameters
    ----------
    settings : sequence of Setting
        The exposures.
    fewest : int
        Exposures that a set must have.
    largest_distance : float
        Distance in pixels from the first pointing of a set up to which pointings are equal.
        Exposures that do not tell where they point are taken to point alike.

    Returns
    -------
    EqualSets
    """
    of_key = {}
    for number, setting in enumerate(settings):
        of_key.setdefault(setting.key, []).append(number)
    sets, dithered = [], 0.0
    for members in of_key.values():
        equal = _equally_pointed(members, settings, largest_distance)
        large = [tuple(found) for found in equal if len(found) >= fewest]
        sets += large
        if not large and len(members) >= fewest:
            dithered = max(dithered, _extent(members, settings))
    chosen = {number for found in sets for number in found}
    left = tuple(number for number in range(len(settings)) if number not in chosen)
    return EqualSets(tuple(sets), left, dithered)


def _equally_pointed(members, settings, largest_distance):
    """Lists of exposures, each of one pointing."""
    found = []
    for number in members:
        for others in found:
            if _distance(settings[others[0]], settings[number]) <= largest_distance:
                others.append(number)
                break
        else:
            found.append([number])
    return found


def _extent(members, settings):
    first = settings[members[0]]
    return max(_distance(first, settings[number]) for number in members)


def _distance(first, other):
    """Pixels between two pointings; 0 where one of them is not known."""
    if first.pointing is None or other.pointing is None:
        return 0.0
    return float(distances(first.pointing, [other.pointing], first.shape or _WHOLE_DETECTOR)[0])
