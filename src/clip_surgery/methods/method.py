"""The interface of all methods of explanation, and the evidence that they return."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.deferred_tensor import DeferrableTensor, DeferredTensor, transformed, unread
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Raw evidence for C texts in the P patches of B images of the same size.

    Attributes:
        patches: (B, C, P), not scaled; a higher value is more evidence for the text.
        similarity: (B, C, P), the cosine of patches and texts before feature surgery. None if the
            method has no patch features.
        image: (B, C), the cosine of image and text features.
        grid: rows and columns of the patches.
        similarity_grid: rows and columns of `similarity` if it was refined on a finer grid;
            None if it is `grid`.
        reference_log_ratios: (B, 2, C), log ratio of each text to the reference words (see
            `surgery.reference_log_ratios`), which may be computed when it is first read. None if
            the method does not compute it.

    Raises:
        InputError: if the shapes do not agree.
    """

    patches: Tensor
    similarity: Tensor | None
    image: Tensor
    grid: PatchGrid
    reference_log_ratios: DeferrableTensor = DeferrableTensor()
    similarity_grid: PatchGrid | None = None

    def __post_init__(self) -> None:
        images, texts = self.image.shape
        expected_shapes = {
            "patches": (images, texts, self.grid.patches),
            "similarity": (images, texts, (self.similarity_grid or self.grid).patches),
            "reference_log_ratios": (images, 2, texts),
        }
        for name, expected in expected_shapes.items():
            scores = self._scores().get(name)
            if scores is not None and tuple(scores.shape) != expected:
                raise InputError(
                    f"Expected {name} of shape {expected}, but got {tuple(scores.shape)}."
                )

    def log_ratios_of_image(self, index: int) -> Tensor | DeferredTensor | None:
        """Return `reference_log_ratios` (2, C) of one image, deferred if they are not computed."""
        return transformed(unread(self, "reference_log_ratios"), lambda ratios: ratios[index])

    def to_host(self) -> Evidence:
        """Return the evidence as float32 on the CPU, without a graph for gradients."""

        def to_host(tensor: Tensor) -> Tensor:
            return tensor.detach().float().cpu()

        scores: dict[str, Any] = {name: to_host(tensor) for name, tensor in self._scores().items()}
        ratios: Any = transformed(unread(self, "reference_log_ratios"), to_host)
        return replace(self, **{**scores, "reference_log_ratios": ratios})

    def is_finite(self) -> bool:
        """Return whether no score is NaN or infinite, apart from one that is not computed yet."""
        return all(bool(torch.isfinite(scores).all()) for scores in self._scores().values())

    def _scores(self) -> dict[str, Tensor]:
        """The scores that are computed, by name."""
        scores = {
            "patches": self.patches,
            "similarity": self.similarity,
            "image": self.image,
            "reference_log_ratios": unread(self, "reference_log_ratios"),
        }
        return {name: tensor for name, tensor in scores.items() if isinstance(tensor, Tensor)}


@runtime_checkable
class Method(Protocol):
    """A frozen, keyword-only dataclass of settings whose instances can be called.

    A class may also have `needs`, the parts of a model that it cannot work without (see
    `requirements.Part`), a true `decides_by_thresholds` if rounding can change what it decides, so
    that scores in half precision may differ, and a method `remark(backbone)`, which says whether
    the settings suit a model (see `remarks.method_remark`).

    Attributes:
        name: the name of the method in `load` and on the command line.
        paper: the publication that describes the method.
        needs_gradient: whether the method differentiates through the image tower. If so, it is
            called with gradients enabled.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs_gradient: ClassVar[bool]

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the evidence for C texts in B images.

        Args:
            backbone: the model.
            pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
            texts: features of C texts.

        Raises:
            UnsupportedModelError: if the model lacks a part that the method needs.
        """
        ...
