"""Method: what every way of explaining CLIP looks like, and the evidence it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Raw evidence of C texts in the P patches of B images of one size.

    Attributes:
        patches: (B, C, P), higher is more evidence; not scaled.
        similarity: (B, C, P), the dense path's cosine before feature surgery, or None where a
            method has none.
        image: (B, C), cosine of image and text feature.
        grid: how the patches lie.
        standing: (B, 2, C), how far each text stands out from the reference words (see
            `surgery.reference_log_ratios`), or None where a method does not say.

    Raises:
        InputError: when the shapes do not belong together.
    """

    patches: Tensor
    similarity: Tensor | None
    image: Tensor
    grid: PatchGrid
    reference_log_ratios: Tensor | None = None

    def __post_init__(self) -> None:
        batch, texts = self.image.shape
        expected = (batch, texts, self.grid.patches)
        for name in ("patches", "similarity"):
            scores = getattr(self, name)
            if scores is not None and tuple(scores.shape) != expected:
                raise InputError(
                    f"Expected {name} of shape {expected}, but got {tuple(scores.shape)}."
                )
        if self.reference_log_ratios is not None and tuple(self.reference_log_ratios.shape) != (
            batch,
            2,
            texts,
        ):
            raise InputError(
                f"Expected standing of shape {(batch, 2, texts)}, "
                f"but got {tuple(self.reference_log_ratios.shape)}."
            )


@runtime_checkable
class Method(Protocol):
    """A frozen, keyword-only dataclass of settings that can be called.

    `name` is what the command line calls it, `paper` where it is from; `needs_gradient` says
    whether it differentiates through the tower (then it runs with gradients on). A class may also
    have `needs`, the parts of a model that it cannot do without, see `requirements.Part`, and
    `remark(backbone)`, which says whether its settings suit a model, see `remarks.method_remark`.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs_gradient: ClassVar[bool]

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Explain normalised pixels (B, 3, H, W) for the texts.

        Raises:
            UnsupportedModelError: when the tower lacks a part the method needs.
        """
        ...
