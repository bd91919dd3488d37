"""
The networks of deepCR and Cosmic-CoNN on one window of an image, with PyTorch.

Both are U-Nets: blocks of two 3x3 convolutions, halving and doubling the image between them. Only
the weights are taken from the packages that publish them; their own code would import TensorBoard
and Matplotlib, choose devices by itself and load the weights again for every image.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_EPSILON = 1e-5  # added to variances in both kinds of normalisation
_N_GROUPS = 8  # of channels with a common mean and variance


@dataclass(frozen=True)
class NetworkFamily:
    """
    Networks of one layout, published in one package.

    Attributes
    ----------
    name : str
        Name of the method, for messages.
    extra : str
        Extra of crsteps that installs what is needed; also the value of ``crmethod``.
    package : str
        Importable package that holds the weights; it is not imported.
    files : dict of str
        For each network, the path of its weights in the package.
    blocks : tuple of str
        Names of the blocks of convolutions in the files: down to the smallest image, and up again.
    doublings : tuple of str
        Names of the transposed convolutions before the blocks on the way up.
    margin : int
        Distance in pixels from the edge of a window within which the zeros that the convolutions
        add beyond it act: 1 for each, twice that for those on the halved image and so on; rounded
        up to a multiple of `multiple`.
    multiple : int
        Height and width of a window are multiples of this.
    """

    name: str
    extra: str
    package: str
    files: dict[str, str]
    blocks: tuple[str, ...]
    doublings: tuple[str, ...]
    margin: int
    multiple: int


DEEPCR = NetworkFamily(
    name="deepCR",
    extra="deepcr",
    package="learned_models",  # of the distribution deepCR
    files={name: f"mask/{name}.pth" for name in ("ACS-WFC", "WFC3-UVIS")},
    blocks=("inc.conv", "down1.mpconv.1", "up8.conv"),
    doublings=("up8.up",),
    margin=8,
    multiple=4,
)
CONN = NetworkFamily(
    name="Cosmic-CoNN",
    extra="conn",
    package="cosmic_conn",
    files={
        "ground_imaging": "trained_models/cosmic-conn_ground_imaging_v0.2.8.pth",
        "NRES": "trained_models/cosmic-conn_LCO_NRES_v0.2.8.pth",
        "HST_ACS_WFC": "trained_models/cosmic-conn_HST_ACS_WFC_v0.2.8.pth",
    },
    blocks=("inc.conv", "down1.down_cov.1", "down2.down_cov.1", "up2.conv", "up1.conv"),
    doublings=("up2.up_conv", "up1.up_conv"),
    margin=24,
    multiple=4,
)


@dataclass(frozen=True)
class _Convolution:
    """Weight and bias (tensors); scale and shift of a group normalisation after it, or None."""

    weight: Any
    bias: Any
    groups: tuple[Any, Any] | None = None


@dataclass(frozen=True)
class Network:
    """
    A network that is ready to be used.

    Attributes
    ----------
    blocks : tuple of tuple
        Convolutions of each block, down and up.
    doublings : tuple
        Transposed convolution before each block on the way up.
    last : object
        Convolution that gives the logarithm of the odds.
    """

    blocks: tuple[tuple[_Convolution, ...], ...]
    doublings: tuple[_Convolution, ...]
    last: _Convolution


def require_packages(family):
    """
    Raise an error if a package that a family of networks needs is not installed.

    Parameters
    ----------
    family : NetworkFamily
        `DEEPCR` or `CONN`.

    Raises
    ------
    ModuleNotFoundError
        If PyTorch or the package with the weights is missing; the message names the extra.
    """
    for package, known_as in (("torch", "PyTorch"), (family.package, family.name)):
        if find_spec(package) is None:
            raise ModuleNotFoundError(
                f"{known_as} is not installed, which the detector {family.extra} needs: "
                f'pip install "crsteps[{family.extra}]"',
                name=package,
            )


@lru_cache
def load_network(family_extra, model):
    """
    Read the weights of a network, once in a process.

    Parameters
    ----------
    family_extra : str
        "deepcr" or "conn".
    model : str
        Name of the network.

    Returns
    -------
    Network

    Raises
    ------
    ModuleNotFoundError
        If a package is missing.
    ValueError
        If the installed package has no such file, or one that is not laid out as expected.

    Notes
    -----
    The files are read as weights only: no code in them is executed.
    """
    family = {DEEPCR.extra: DEEPCR, CONN.extra: CONN}[family_extra]
    require_packages(family)
    folder = next(iter(find_spec(family.package).submodule_search_locations))
    path = Path(folder) / family.files[model]
    if not path.is_file():
        raise ValueError(_not_as_expected(family, f"no file {family.files[model]}"))
    import torch

    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored = {name.removeprefix("module."): value for name, value in stored.items()}
    try:
        return Network(
            blocks=tuple(_read_block(stored, f"{name}.conv") for name in family.blocks),
            doublings=tuple(_read_convolution(stored, name) for name in family.doublings),
            last=_read_convolution(stored, "outc.conv"),
        )
    except KeyError as error:
        raise ValueError(_not_as_expected(family, f"no {error} in {path.name}")) from error


def _not_as_expected(family, what):
    return (
        f"the installed {family.name} has {what}: install the version that "
        f'pip install "crsteps[{family.extra}]" chooses'
    )


def _read_block(stored, name):
    """Read the two convolutions of a block, numbered with what is between them."""
    normalised = f"{name}.1.weight" in stored
    if not normalised:  # convolution, rectifier, convolution, rectifier
        return tuple(_read_convolution(stored, f"{name}.{i}") for i in (0, 2))
    return tuple(
        _normalised(_read_convolution(stored, f"{name}.{i}"), stored, f"{name}.{i + 1}")
        for i in (0, 3)
    )


def _read_convolution(stored, name):
    """Read a convolution; with weight normalisation, the weight is its length times a direction."""
    import torch

    if f"{name}.weight" in stored:
        weight = stored[f"{name}.weight"]
    else:
        length, direction = stored[f"{name}.weight_g"], stored[f"{name}.weight_v"]
        norm = torch.linalg.vector_norm(direction, dim=(1, 2, 3), keepdim=True)
        weight = direction * (length / norm)
    # channels last: half as much time on a processor
    weight = weight.contiguous(memory_format=torch.channels_last)
    return _Convolution(weight, stored[f"{name}.bias"])


def _normalised(convolution, stored, name):
    """Join a convolution with the batch or group normalisation that follows it."""
    scale, shift = stored[f"{name}.weight"], stored[f"{name}.bias"]
    if f"{name}.running_var" not in stored:
        return _Convolution(convolution.weight, convolution.bias, (scale, shift))
    # Mean and variance of a trained batch normalisation are constants: it is linear.
    scale = scale / (stored[f"{name}.running_var"] + _EPSILON).sqrt()
    return _Convolution(
        convolution.weight * scale.reshape(-1, 1, 1, 1),
        (convolution.bias - stored[f"{name}.running_mean"]) * scale + shift,
    )


def window_probability(network, window):
    """
    Probability of a cosmic ray in each pixel of a window.

    Parameters
    ----------
    network : Network
        The network.
    window : ndarray of float32, shape (ny, nx)
        What the network was trained on; ny and nx are multiples of its `multiple`.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    import torch
    from torch.nn import functional

    n_levels = len(network.doublings)
    with torch.inference_mode():
        image = torch.from_numpy(window)[None, None]
        image = _rectified_block(image, network.blocks[0])
        seen = []
        for block in network.blocks[1 : n_levels + 1]:
            seen.append(image)
            image = _rectified_block(functional.max_pool2d(image, 2), block)
        for doubling, block in zip(network.doublings, network.blocks[n_levels + 1 :], strict=True):
            image = functional.conv_transpose2d(image, doubling.weight, doubling.bias, stride=2)
            image = _rectified_block(torch.cat([seen.pop(), image], dim=1), block)
        odds = functional.conv2d(image, network.last.weight, network.last.bias)
        return torch.sigmoid(odds)[0, 0].numpy()


def _rectified_block(image, block):
    from torch.nn import functional

    for convolution in block:
        image = functional.conv2d(image, convolution.weight, convolution.bias, padding=1)
        if convolution.groups is not None:
            image = functional.group_norm(image, _N_GROUPS, *convolution.groups, eps=_EPSILON)
        image = image.relu_()
    return image


@contextmanager
def processor_threads(number):
    """
    Let PyTorch use a number of threads for a while.

    Parameters
    ----------
    number : int
        Threads. The number is one of the whole process: two Python threads in two such blocks
        disturb each other's choice, not each other's results.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
