"""What the class token or the patch at a point attends to, in every head of every block.

See `surgery.attention_rows`. `attention` in `inspection` compares kinds of attention in one block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.framing import Framing
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.surgery.attention_rows import attention_rows
from clip_surgery.tasks.image_points import checked_point, patch_at


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadAttention:
    """What chosen tokens of an image attend to, for L blocks of h heads.

    Attributes:
        source: "class token", "patch" or "mean over patches", the tokens that attend.
        patch: row and column of the patch; None for other sources.
        weights: (L, h, rows, columns), the share of its attention that each patch receives. They
            sum to 1 minus `prefix_weights`.
        lengths: (L, h, rows, columns), the length of what each patch adds: weight times value,
            after the out-projection.
        prefix_weights: (L, h), the share that class token and registers receive.
        framing: the mapping between the patch grid and the image.
    """

    source: str
    patch: tuple[int, int] | None
    weights: Tensor
    lengths: Tensor
    prefix_weights: Tensor
    framing: Framing

    def __post_init__(self) -> None:
        if self.weights.shape != self.lengths.shape or self.weights.ndim != 4:
            raise InputError(
                f"Expected weights and lengths (L, h, rows, columns), but got "
                f"{tuple(self.weights.shape)} and {tuple(self.lengths.shape)}."
            )


def head_attention(
    explainer: Explainer,
    image: ImageSource | InputImage,
    point: tuple[float, float] | None = None,
) -> HeadAttention:
    """Return what a token attends to in every head of every block, and what it receives from it.

    A patch can receive much attention and add little, because its value is small (an attention
    sink); `lengths` shows what is added. No whole matrix of attention is held.

    Args:
        explainer: the model with its framing; its method is not used.
        image: the image.
        point: (x, y) in pixels of the image, which chooses a patch. If None, it is the class token,
            or for towers without one the mean over all patches.

    Raises:
        InputError: if the image cannot be used, or the point is outside of it.
        UnsupportedModelError: if the tower has no blocks.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> attention = head_attention(load("demo"), Image.radial_gradient("L"))
        >>> attention.source, attention.weights.shape
        ('class token', torch.Size([8, 2, 12, 12]))
    """
    input_image = read_image(image)
    framing, tower = explainer.frame(input_image), explainer.backbone.tower
    pixels = explainer.pixels(input_image)
    grid, prefix = tower.grid(pixels), tower.prefix_tokens
    patch: tuple[int, int] | None = None
    if point is not None:
        patch = patch_at(checked_point(input_image, point), framing, grid)
        row, column = patch
        source, rows = "patch", torch.tensor([prefix + row * grid.columns + column])
    elif prefix:
        source, rows = "class token", torch.tensor([0])
    else:
        source, rows = "mean over patches", torch.arange(grid.patches)
    with torch.no_grad():
        attended = attention_rows(tower, pixels, rows=rows)
    return HeadAttention(
        source=source,
        patch=patch,
        weights=grid.to_map(attended.weights[..., prefix:]).cpu(),
        lengths=grid.to_map(attended.lengths[..., prefix:]).cpu(),
        prefix_weights=attended.weights[..., :prefix].sum(dim=-1).cpu(),
        framing=framing,
    )
