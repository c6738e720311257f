"""Evidence for a large image whose windows are joined before they are compared with texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.stitching import stitched_features, stitched_tower
from clip_surgery.surgery.window_layout import WindowLayout
from clip_surgery.text.features import TextFeatures


def evidence_of_outputs(
    explainer: Explainer, pixels: Tensor, texts: TextFeatures, layout: WindowLayout
) -> Evidence:
    """Return the evidence for an image (1, 3, H, W) whose patch features are stitched.

    Args:
        explainer: the model and a dense method.
        pixels: pixels in [0, 1], with sides of whole patches.
        texts: features of C texts.
        layout: where the windows are.

    Raises:
        InputError: if the method is not dense, or its features cannot be stitched.
    """
    method = StitchedOutputs(
        method=dense_method(explainer), layout=layout, batch_size=explainer.batch_size
    )
    return replace(explainer, method=method).explain_pixels(pixels, texts)


def evidence_of_values(
    explainer: Explainer, pixels: Tensor, texts: TextFeatures, layout: WindowLayout
) -> Evidence:
    """Return the evidence for an image (1, 3, H, W) whose last block attends over all windows.

    Args:
        explainer: the model and a dense method that changes the last block only.
        pixels: pixels in [0, 1], with sides of whole patches.
        texts: features of C texts.
        layout: where the windows are.

    Raises:
        InputError: if the method is not dense, or reads earlier blocks.
    """
    method, backbone = dense_method(explainer), explainer.backbone
    if not method.last_block_only or method.repair_outliers:
        problem = "repair_outliers=True" if method.last_block_only else method.name
        raise InputError(
            "Expected a method that changes the last block only for stitch='values', but "
            f"{problem} reads blocks before it. Use stitch='outputs' or 'logits'."
        )
    tower = stitched_tower(
        backbone.tower, backbone.normalise(pixels), layout, batch_size=explainer.batch_size
    )
    stitched = replace(explainer, backbone=replace(backbone, tower=tower))
    return stitched.explain_pixels(pixels, texts)


def dense_method(explainer: Explainer) -> DenseMethod:
    """Return the method of an explainer.

    Raises:
        InputError: if it is not dense.
    """
    if not isinstance(explainer.method, DenseMethod):
        raise InputError(
            f"Expected a dense method for stitched windows, but got {explainer.method.name}. "
            "Use stitch='logits'."
        )
    return explainer.method


@dataclass(frozen=True, kw_only=True)
class StitchedOutputs:
    """A dense method whose patch features are the means over windows.

    Attributes:
        method: the dense method.
        layout: where the windows are.
        batch_size: number of windows at a time.
    """

    name: ClassVar[str] = "stitched outputs"
    paper: ClassVar[str] = "Trident (ICCV 2025, arXiv 2411.09219)"
    needs_gradient: ClassVar[bool] = False

    method: DenseMethod
    layout: WindowLayout
    batch_size: int

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the evidence for one image (1, 3, H, W)."""
        self.method.check(backbone)
        features = stitched_features(
            lambda crops: self.method.window_features(backbone, crops, texts),
            pixels,
            self.layout,
            batch_size=self.batch_size,
        )
        whole = self.method.whole_features(backbone, pixels, features)
        return self.method.evidence(backbone, pixels, texts, whole)
