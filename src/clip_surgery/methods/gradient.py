"""The base class of methods that differentiate the scores of texts through the image tower.

One forward pass serves all images and texts, and the backward pass is vectorised over texts. The
model is not changed: `requires_grad` of its parameters is not set and no `.grad` is written,
because the autograd graph begins at the tokens of a block.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import Part, require, unsupported
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class GradientMethod(ABC):
    """Settings of all gradient methods.

    The score that is differentiated is the cosine of image and text, not a probability, so that
    the evidence for a text does not depend on the other texts.

    Attributes:
        texts_at_a_time: number of texts whose gradients are in memory together. It changes the
            memory that is needed, not the result.

    Raises:
        InputError: if texts_at_a_time is below 1.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs_gradient: ClassVar[bool] = True
    needs: ClassVar[frozenset[Part]] = frozenset({"gradients"})

    texts_at_a_time: int = 16

    def __post_init__(self) -> None:
        if self.texts_at_a_time < 1:
            raise InputError(
                f"Expected texts_at_a_time of at least 1, but got {self.texts_at_a_time}."
            )

    @abstractmethod
    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the evidence for C texts in B images; it is called with gradients enabled.

        Args:
            backbone: the model.
            pixels: normalised pixels (B, 3, H, W), without an autograd graph.
            text_features: features of C texts (C, D).
        """

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the evidence for the texts, detached from the autograd graph.

        Raises:
            UnsupportedModelError: if the model lacks a part that the method needs, or no gradient
                passes through it.
        """
        require(backbone, self.needs, purpose=self.name)
        # Inference mode of the caller overrides set_grad_enabled, and inference tensors cannot be
        # part of a graph.
        with torch.inference_mode(False), torch.enable_grad():
            try:
                evidence = self.explain(backbone, _ordinary(pixels), _ordinary(texts.labels))
            except UnsupportedModelError as error:
                raise unsupported(backbone, f"{self.name}: {error}") from error
        return replace(evidence, patches=evidence.patches.detach(), image=evidence.image.detach())


def _ordinary(tensor: Tensor) -> Tensor:
    """Return the tensor without its graph, in a form that a new graph can save."""
    return tensor.detach().clone() if tensor.is_inference() else tensor.detach()
