"""Draw a map of positive and negative values over its image: red adds, blue takes away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.overlay import FADE, colour_table, opacities
from clip_surgery.figures.sheet import Picture
from clip_surgery.figures.tiles import Style, resized_image
from clip_surgery.framing import Framing, Size
from clip_surgery.inputs.images import InputImage

DIVERGING = "RdBu_r"
"""A colour map of matplotlib: blue is negative, white is zero, red is positive."""
OPACITY = 0.85
"""Opacity of the strongest colours. It is higher than that of heatmaps, for pale colours."""


def signed_colours(
    levels: NDArray[np.floating], *, opacity: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the colours (H, W, 3) and the opacities (H, W) of levels (H, W), both from 0 to 255.

    Args:
        levels: values in [-1, 1]; 0 is transparent.
        opacity: opacity in [0, 1] of levels of -1 and 1.
    """
    colours = colour_table(DIVERGING)[np.rint(127.5 + 100 * levels).astype(np.uint8)]
    # the root shows middle values too: few patches carry most of a similarity
    alpha = 255 * opacities(np.sqrt(np.abs(levels)), opacity=opacity, fade=FADE)
    return colours, np.rint(alpha).astype(np.uint8)


def signed_tile(
    image: InputImage, scores: Tensor, framing: Framing, style: Style, *, limit: float
) -> Picture:
    """Return the image in grey with a map of signed patch scores over it, in the size of a tile.

    Args:
        image: the image; it may be smaller than the one that was explained.
        scores: scores of the patches (rows, columns).
        framing: how the explained image was resized.
        style: size and opacity of the tile.
        limit: absolute score that has the strongest colour; 0 leaves the image unchanged.

    Raises:
        InputError: if a score is not finite.
    """
    if not bool(scores.isfinite().all()):
        raise InputError(f"{image.name}: expected finite scores, but got others.")
    restored = framing.restore_map(scores)

    def draw(size: Size) -> Image.Image:
        levels = F.interpolate(
            restored[None, None], size=list(size), mode="bilinear", align_corners=False,
            antialias=True,
        )[0, 0].numpy() / max(limit, 1e-12)  # fmt: skip
        levels = np.clip(levels, -1, 1) if limit > 0 else np.zeros_like(levels)
        colours, alpha = signed_colours(levels, opacity=style.opacity)
        mask = Image.fromarray(alpha)
        grey = resized_image(image, size).convert("L").convert("RGB")  # only the map has colours
        return Image.composite(Image.fromarray(colours), grey, mask)

    return Picture(style.size, draw)
