"""The image feature of a model whose class token attends to chosen patches only.

Source: the re-identification of TagCLIP (AAAI 2024, arXiv 2312.12828): in every block the class
token attends to the patches of a mask; patches attend to all tokens.

Letters: B images, N tokens, P patches, D joint width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from clip_surgery.backbones.block import run_block
from clip_surgery.backbones.tower import Tower
from clip_surgery.surgery.heads import checked_grid

FORBIDDEN = -1000.0
"""Added to the attention logits of patches that the class token does not attend to."""


def limited_image_features(tower: Tower, pixels: Tensor, allowed: Tensor) -> Tensor:
    """Return the image features (B, D) of a class token that attends to some patches only.

    Args:
        tower: an image tower with a class token, the first token.
        pixels: normalised pixels (B, 3, H, W), with sides of whole patches.
        allowed: the patches that the class token attends to (B, P) bool. Where there is none, it
            attends to prefix tokens only.
    """
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens = tower.embed(pixels)
    count = tokens.shape[1]
    mask = tokens.new_zeros(len(tokens), 1, count, count)
    mask[:, 0, 0, tower.prefix_tokens :].masked_fill_(~allowed.to(tokens.device), FORBIDDEN)
    for block in tower.blocks:
        tokens = run_block(block, tokens, mask)
    return tower.pool(tokens)


def resized_mask(mask: Tensor, rows: int, columns: int) -> Tensor:
    """Return a mask (h, w) bool at another size (rows, columns), by its nearest elements."""
    resized: Tensor = interpolate(mask[None, None].float(), size=(rows, columns), mode="nearest")[
        0, 0
    ]
    return resized > 0.5
