"""Refinement of class maps by a Laplacian of the grid, whose edges are weak where colours change.

Source: the refinement of PEARL, from a description of its released code. The code reads only the
diagonal of the matrix that compares texts; this is the variant "released", and "paper" uses the
whole matrix, made symmetric so that the system has a solution by conjugate gradients.

Letters: B images, C texts, h x w cells of a grid, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from clip_surgery.errors import UnknownNameError
from clip_surgery.refinement.conjugate_gradients import conjugate_gradients
from clip_surgery.refinement.setting_checks import check_at_least, check_positive

Variant = Literal["paper", "released"]
TEXT_TEMPERATURE, OWN_TEXT_WEIGHT = 0.5, 10.0
EDGE_SHARPNESS = 5.0
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness."""


@dataclass(frozen=True, kw_only=True)
class LaplacianRefinement:
    """Solve for maps that follow the scores where these are confident, and colour edges elsewhere.

    The refinement of PEARL (see `refine_by_laplacian`).

    Attributes:
        steps: number of steps of conjugate gradients.
        floor: lowest confidence of a cell, in (0, 1].
        logit_scale: factor on the scores before their softmax; 1 in the released code.
        variant: "paper" compares different texts, "released" does not.
        cells: cells along a side of a square image; 80 in the code, 224 for Cityscapes.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if variant is unknown.
    """

    name: ClassVar[str] = "laplacian"

    steps: int = 25
    floor: float = 0.05
    logit_scale: float = 1.0
    variant: Variant = "paper"
    cells: int = 80

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0)
        check_positive(self, "floor", "logit_scale")
        if self.variant not in get_args(Variant):
            raise UnknownNameError.among("variant", self.variant, get_args(Variant))

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return refine_by_laplacian(
            maps,
            brightness(colours),
            texts=texts,
            steps=self.steps,
            floor=self.floor,
            logit_scale=self.logit_scale,
            variant=self.variant,
        )


def refine_by_laplacian(
    maps: Tensor,
    grey: Tensor,
    *,
    texts: Tensor | None = None,
    steps: int = 25,
    floor: float = 0.05,
    logit_scale: float = 1.0,
    variant: Variant = "paper",
) -> Tensor:
    """Return the solution F of (D + L) F = D Y for the maps Y, by conjugate gradients from Y.

    With p the softmax of Y over the texts, and G comparing texts (see `text_matrix`), the weight of
    the data is D = max(floor, max p)^2 (1 + p^T G p). L is the Laplacian of the grid; the edge
    between two neighbouring cells i and j weighs

        min(1, exp(-5 |step of grey| / mean |step of grey|) (1 + p_i^T G p_j)).

    Args:
        maps: Y, (B, C, h, w).
        grey: brightness of the cells (B, h, w), in any unit.
        texts: features of the texts (C, D). If None, texts are compared with themselves only.
        steps: number of steps of conjugate gradients, which bounds how far scores spread. With 0
            the maps are returned.
        floor: lowest confidence of a cell.
        logit_scale: factor on Y before the softmax. The released code has 1, with which the
            confidence of nearly every cell is the floor.
        variant: "paper" compares different texts in G, "released" does not.
    """
    probability = (logit_scale * maps).softmax(dim=1)
    matrix = text_matrix(maps, texts, variant)
    related = torch.einsum("cd,bdhw->bchw", matrix, probability)
    agreement = (probability * related).sum(dim=1)  # (B, h, w)
    data = probability.amax(dim=1).clamp(min=floor).square() * (1 + agreement)
    down = (probability[:, :, 1:] * related[:, :, :-1]).sum(dim=1)  # (B, h - 1, w)
    across = (probability[..., 1:] * related[..., :-1]).sum(dim=1)  # (B, h, w - 1)
    down, across = (weight[:, None] for weight in edge_weights(grey, down, across))
    edges_of_cell = pad(down, (0, 0, 1, 0)) + pad(down, (0, 0, 0, 1))
    edges_of_cell = edges_of_cell + pad(across, (1, 0)) + pad(across, (0, 1))
    diagonal = data[:, None] + edges_of_cell  # (B, 1, h, w)

    def apply(flat: Tensor) -> Tensor:
        field = flat.view_as(maps)  # (B, C, h, w)
        result: Tensor = diagonal * field
        result[:, :, 1:].addcmul_(down, field[:, :, :-1], value=-1)
        result[:, :, :-1].addcmul_(down, field[:, :, 1:], value=-1)
        result[..., 1:].addcmul_(across, field[..., :-1], value=-1)
        result[..., :-1].addcmul_(across, field[..., 1:], value=-1)
        return result.flatten(-2)

    start = maps.flatten(-2)
    right = (data[:, None] * maps).flatten(-2)
    return conjugate_gradients(apply, right, start=start, steps=steps).view_as(maps)


def text_matrix(maps: Tensor, texts: Tensor | None, variant: Variant) -> Tensor:
    """Return G (C, C): the row-normalised softmax(t t^T / 0.5) + 10 I, made symmetric.

    The softmax runs over rows, t are texts of unit length. Without texts, and with the variant
    "released", only the diagonal of G remains.
    """
    count = maps.shape[1]
    identity = torch.eye(count, dtype=maps.dtype, device=maps.device)
    if texts is None:
        return identity
    unit = normalize(texts.to(maps), dim=-1)
    shares = (unit @ unit.mT / TEXT_TEMPERATURE).softmax(dim=-1) + OWN_TEXT_WEIGHT * identity
    shares = shares / shares.sum(dim=-1, keepdim=True)
    return shares * identity if variant == "released" else (shares + shares.mT) / 2


def edge_weights(grey: Tensor, down: Tensor, across: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of the edges to the next row (B, h - 1, w) and column (B, h, w - 1).

    The mean step of grey is that over all edges of an image; a constant image has edges without
    any step.

    Args:
        grey: brightness (B, h, w).
        down: agreement p_i^T G p_j of the two cells of an edge to the next row.
        across: the same for the next column.
    """
    steps = [(grey[:, 1:] - grey[:, :-1]).abs(), (grey[..., 1:] - grey[..., :-1]).abs()]
    count = sum(step[0].numel() for step in steps)
    total = steps[0].sum(dim=(1, 2)) + steps[1].sum(dim=(1, 2))
    mean = (total / max(count, 1)).clamp(min=1e-12)[:, None, None]
    first, second = (
        (torch.exp(-EDGE_SHARPNESS * step / mean) * (1 + agreement)).clamp(max=1)
        for step, agreement in zip(steps, (down, across), strict=True)
    )
    return first, second


def brightness(colours: Tensor) -> Tensor:
    """Return the brightness (B, h, w) of colours (B, 3, h, w)."""
    return torch.einsum("bchw,c->bhw", colours, colours.new_tensor(LUMA))
