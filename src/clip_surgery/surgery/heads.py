"""The heads of one block, and the check of an image tower's input.

Letters: B images, K prefix tokens, P patches, N = K + P tokens, E tower width, h heads, d head
width.
"""

from __future__ import annotations

from torch import Tensor

from clip_surgery.backbones.block import split_heads
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads


def project_heads(tower: Tower, block: Block, tokens: Tensor, grid: PatchGrid) -> Heads:
    """Return query, key and value of a block for its input tokens (B, N, E)."""
    return project_normed(tower, block, block.norm_attention(tokens), grid)


def project_normed(
    tower: Tower, block: Block, normed: Tensor, grid: PatchGrid, *, queries: int | None = None
) -> Heads:
    """Return query, key and value of a block for tokens (B, N, E) after the block's norm.

    Args:
        tower: the tower that the block belongs to.
        block: the block.
        normed: the block's input tokens after its norm (B, N, E).
        grid: rows and columns of the patches.
        queries: number of first tokens for which queries are computed; all tokens if None.
    """
    project_in = block.attention.project_in
    if queries is None:
        parts = project_in(normed, "qkv")
    else:
        parts = (*project_in(normed[:, :queries], "q"), *project_in(normed, "kv"))
    query, key, value = (split_heads(part, block.attention.heads) for part in parts)
    return Heads(
        query=query,
        key=key,
        value=value,
        normed=normed,
        scale=block.attention.scale,
        prefix_tokens=tower.prefix_tokens,
        grid=grid,
    )


def checked_grid(tower: Tower, pixels: Tensor) -> PatchGrid:
    """Return the patch grid of pixels (B, 3, H, W).

    Raises:
        InputError: if the pixels have another shape, no image, or sides that are not multiples of
            the patch size.
    """
    side = tower.patch_size
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise InputError(f"Expected pixels (B, 3, H, W), but got {tuple(pixels.shape)}.")
    if pixels.shape[2] % side or pixels.shape[3] % side or not pixels.shape[0]:
        raise InputError(
            f"Expected at least one image with sides of whole {side} px patches, "
            f"but got {tuple(pixels.shape)}."
        )
    return tower.grid(pixels)
