"""What was measured and found, in sentences for the log and in cards for the headers."""

import math

import numpy as np


def summary(result, names):
    """
    Tell what was measured and found.

    Parameters
    ----------
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Result.
    names : sequence of str
        Names of the exposures.

    Returns
    -------
    list of str
        Lines for the log.
    """
    model, n_pixels = result.equivalence, result.mediancr.size
    lines = [
        f"{len(names)} exposures of {' x '.join(map(str, result.mediancr.shape[::-1]))} pixels; "
        f"{result.crmethod}: {_limit(result)}"
    ]
    for i, (name, mask) in enumerate(zip(names, result.exposure_masks, strict=True)):
        lines.append(
            f"exposure {i + 1} ({name}): flux {model.flux[i]:.4f}, offset {model.offset[i]:.4g}, "
            f"shift ({model.dx[i]:.3f}, {model.dy[i]:.3f}) pixels, "
            f"CRMASK{i + 1} {_count(mask, n_pixels)}"
        )
    gx, gy = model.gradient_variance
    lines.append(
        f"extra variance {model.relative_variance:.3g} x signal^2 + {gx:.3g} x gradient_x^2 + "
        f"{gy:.3g} x gradient_y^2; local differences of flux {model.local_scatter:.3g} (rms)"
    )
    measured = [
        f"{name} {ratio:.3f} times the given one"
        for name, ratio in (("read noise", model.read_noise_ratio), ("gain", model.gain_ratio))
        if math.isfinite(ratio)
    ]
    if measured:
        lines.append("measured from the differences: " + ", ".join(measured))
    lines += _told(result)
    lines += [
        f"{name} {_count(mask, n_pixels)}"
        for name, mask in (
            ("MEDIANCR", result.mediancr),
            ("MEANCRT", result.meancrt),
            ("MEANCR", result.meancr),
        )
    ]
    if result.codes is not None and result.auxiliary is not None:
        number = np.bincount(result.codes.ravel(), minlength=5)
        lines.append(
            f"of MEDIANCR, {number[2]} pixels by comparison alone, {number[3]} by "
            f"{' and '.join(result.auxiliary.methods)} alone, {number[4]} by both, {number[1]} "
            "added by dilation or the user"
        )
    return lines


def _limit(result):
    """What set the limit of detection."""
    if result.diagram is not None:
        simulated = result.diagram.simulated
        return (
            f"{result.diagram.boundary.kind} boundary in a diagram of {simulated.n_simulations} "
            f"simulations of {simulated.n_pixels} pixels"
        )
    if _has_null_model(result):
        return f"{result.expected_false:g} false pixels expected in each mask"
    if result.crmethod == "crmasks":
        return "masks of a file"
    return "limits of the detectors of single images"


def _has_null_model(result):
    return result.diagram is None and result.crmethod.startswith("mm")


def _told(result):
    """Flux factors and offsets that were given, or measured before the search."""
    lines = []
    if result.flux_factors is not None:
        factors = ", ".join(f"{factor:.4f}" for factor in result.flux_factors)
        lines.append(
            f"flux factors of the exposures {factors}, for the "
            f"{result.apply_flux_factor_to} exposures"
        )
    if result.offsets is not None:
        pairs = ", ".join(f"({dx:.3f}, {dy:.3f})" for dx, dy in result.offsets)
        lines.append(f"offsets of the exposures from the median {pairs} pixels")
    return lines


def header_cards(result):
    """
    Give the measured values as header cards.

    Parameters
    ----------
    result : crsteps.mm_cosmic.masks.MMCosmicResult
        Result.

    Returns
    -------
    dict
        ``{keyword: (value, comment)}``; values that could not be measured are left out.
    """
    model = result.equivalence
    cards = {
        "MMNEXP": (len(model.flux), "number of exposures"),
        "MMNFALSE": (
            result.expected_false if _has_null_model(result) else math.nan,
            "false pixels expected in each mask",
        ),
        "MMRELVAR": (model.relative_variance, "extra variance [signal^2]"),
        "MMGXVAR": (model.gradient_variance[0], "extra variance [gradient along x ^2]"),
        "MMGYVAR": (model.gradient_variance[1], "extra variance [gradient along y ^2]"),
        "MMLOCAL": (model.local_scatter, "rms of local differences of flux"),
        "MMRNRAT": (model.read_noise_ratio, "read noise: measured over given"),
        "MMGRAT": (model.gain_ratio, "gain: measured over given"),
    }
    for i in range(len(model.flux)):
        cards |= {
            f"FLUXF{i + 1}": (model.flux[i], f"flux factor of exposure {i + 1}"),
            f"OFFSET{i + 1}": (model.offset[i], f"offset of exposure {i + 1} [data unit]"),
            f"XSHIFT{i + 1}": (model.dx[i], f"shift of exposure {i + 1} along x [pixels]"),
            f"YSHIFT{i + 1}": (model.dy[i], f"shift of exposure {i + 1} along y [pixels]"),
            f"USABLE{i + 1}": (bool(model.usable[i]), f"exposure {i + 1} was used"),
        }
    finite = {keyword: _plain(card) for keyword, card in cards.items() if np.isfinite(card[0])}
    return {"CRMETHOD": (result.crmethod, "what found cosmic rays")} | finite


def _plain(card):
    """Python numbers, rounded to what float32 data can tell: FITS knows no others."""
    value, comment = card
    if isinstance(value, bool | int):
        return value, comment
    return float(f"{float(value):.7g}"), comment


def _count(mask, n_pixels):
    number = int(np.count_nonzero(mask))
    return f"{number} pixels ({100 * number / n_pixels:.3f} %)"
