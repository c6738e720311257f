"""From pixels to tokens: patches, prefix tokens, positions. The same in every library."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.positions import PositionMode, interpolate_positions
from clip_surgery.backbones.tower import TokenMap
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of SigLIP's pixels."""


def embed_pixels(
    pixels: Tensor,
    *,
    to_patches: TokenMap,
    patch_size: int,
    dtype: torch.dtype,
    prefix: Tensor | None,
    positions: Tensor | None,
    native: tuple[int, int],
    mode: PositionMode,
    antialias: bool | None = None,
    bare_prefix: bool = False,
) -> Tensor:
    """Pixels (B, 3, H, W) to tokens (B, K + P, E), before the input norm.

    Pixels are converted to `dtype`, the type of the patch embedding's weights, as models whose
    weights are half precision need.

    Args:
        pixels: normalised pixels.
        to_patches: pixels to a map (B, E, rows, columns).
        patch_size: side of a patch in pixels.
        dtype: what `to_patches` takes.
        prefix: the tokens before the patches (K, E), or None.
        positions: position embeddings (K + P, E), or None where there are none.
        native: the (height, width) in pixels that the positions were made for.
        mode: how they are brought to other grids.
        antialias: whether that is smoothed; None leaves it to the mode.
        bare_prefix: whether positions are of the patches alone (P, E).

    Raises:
        InputError: when the pixels are no such batch, or their sides are not whole patches.
            The native size always passes: some models leave a remainder of pixels there.
    """
    check_pixels(pixels, patch_size=patch_size, native=native)
    patches = to_patches(pixels.to(dtype))  # (B, E, rows, columns)
    grid = PatchGrid(rows=patches.shape[-2], columns=patches.shape[-1])
    tokens = patches.flatten(2).transpose(1, 2)
    if prefix is None:
        prefix = tokens.new_zeros(0, tokens.shape[-1])
    before = prefix.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    if positions is None:
        return torch.cat([before, tokens], dim=1)
    resized = interpolate_positions(
        positions,
        native=PatchGrid(rows=native[0] // patch_size, columns=native[1] // patch_size),
        grid=grid,
        prefix_tokens=0 if bare_prefix else len(prefix),
        mode=mode,
        antialias=antialias,
    ).to(tokens.dtype)
    if bare_prefix:
        return torch.cat([before, tokens + resized], dim=1)
    return torch.cat([before, tokens], dim=1) + resized


def check_pixels(pixels: Tensor, *, patch_size: int, native: tuple[int, int]) -> None:
    """Refuse what is no batch of images of whole patches, or of the native size.

    Raises:
        InputError: saying what was expected.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"Expected pixels (B, 3, H, W), but got shape {tuple(pixels.shape)}.")
    height, width = pixels.shape[-2:]
    whole = height % patch_size == 0 and width % patch_size == 0 and min(height, width) > 0
    if not whole and (height, width) != native:
        raise InputError(
            f"Expected pixels in whole patches of {patch_size} px, but got {height} x {width}."
        )
