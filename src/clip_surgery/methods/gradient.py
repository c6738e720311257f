"""GradientMethod: methods that differentiate the texts' scores through the image tower.

One forward serves all images and texts, and the backward is vectorised over texts. The model's
flags are not touched and no `.grad` is written: the graph begins inside the walk.
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
    """Settings that every gradient method has.

    The score that is differentiated is the cosine of image and text, not a probability: the
    evidence of a text does not depend on the other texts.

    Attributes:
        texts_at_a_time: texts whose gradients are in memory together; changes memory only.
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
    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """Evidence of normalised pixels (B, 3, H, W) for label features (C, D), gradients on."""

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Explain normalised pixels for the texts; the evidence itself carries no gradient.

        Raises:
            UnsupportedModelError: when the model lacks a part, or no gradient passes it.
        """
        require(backbone, self.needs, purpose=self.name)
        # A caller's inference mode would win over set_grad_enabled, and its tensors over both.
        with torch.inference_mode(False), torch.enable_grad():
            try:
                evidence = self.explain(backbone, _ordinary(pixels), _ordinary(texts.labels))
            except UnsupportedModelError as error:
                raise unsupported(backbone, f"{self.name}: {error}") from error
        return replace(evidence, patches=evidence.patches.detach(), image=evidence.image.detach())


def _ordinary(tensor: Tensor) -> Tensor:
    """The tensor without a graph, in a form that a new graph may save."""
    return tensor.detach().clone() if tensor.is_inference() else tensor.detach()
