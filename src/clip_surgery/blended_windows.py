"""Scores of the overlapping windows of a large image, blended on the grid of the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from clip_surgery.deferred_tensor import DeferredTensor
from clip_surgery.evidence_rows import evidence_rows
from clip_surgery.explainer import Explainer
from clip_surgery.framed_images import compact_pixels, full_pixels
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.deferred_log_ratios import deferred_log_ratios
from clip_surgery.surgery.window_layout import (
    Corner,
    WindowLayout,
    WindowWeighting,
    window_weight,
)
from clip_surgery.text.features import TextFeatures


def blended_scores(
    explainer: Explainer,
    pixels: Tensor,
    texts: TextFeatures,
    layout: WindowLayout,
    weighting: WindowWeighting,
) -> dict[str, Any]:
    """Return the fields of an explanation that hold scores, for one image.

    Maps are weighted means over the windows that cover a patch. Scores of the image and log ratios
    are the maxima over all windows.

    Args:
        explainer: the model and method.
        pixels: pixels (3, H, W) in [0, 1], with sides of whole patches.
        texts: features of C texts.
        layout: where the windows are.
        weighting: weight of the patches of a window, for maps that are finer than its patches.
    """
    kept_pixels = compact_pixels(pixels)
    blend = _Blend(layout, weighting)

    def crops(corners: Sequence[Corner]) -> Tensor:
        return full_pixels(layout.crops(kept_pixels, corners))

    def explain_batch(corners: Sequence[Corner]) -> Evidence:
        return explainer.explain_pixels(crops(corners), texts)

    def log_ratios() -> Tensor:
        deferred = (
            deferred_log_ratios(explainer.backbone, crops(corners), texts)
            for corners in layout.batches(explainer.batch_size)
        )
        return torch.stack([ratios.value.amax(dim=0) for ratios in deferred]).amax(dim=0)[None]

    for corners in layout.batches(explainer.batch_size):
        for corner, row in zip(corners, evidence_rows(explain_batch, corners), strict=True):
            blend.add(corner, *row)
    ratios: Any = blend.highest.get("reference_log_ratios")
    if ratios is not None:
        ratios = ratios[None]
    elif texts.reference is not None:
        ratios = DeferredTensor(log_ratios)
    return {
        "patch_scores": (blend.mean("patches"),),
        "similarity": (blend.mean("similarity"),) if "similarity" in blend.sums else None,
        "image_scores": blend.highest["image"][None],
        "reference_log_ratios": ratios,
    }


@dataclass(eq=False)
class _Blend:
    """Weighted sums of the windows on the grid of the image, and maxima over the windows.

    Maps on another grid than that of the window, for example on the patches of a companion, are
    interpolated to the grid of the window, or to a whole multiple of it if they are finer.
    """

    layout: WindowLayout
    weighting: WindowWeighting
    sums: dict[str, Tensor] = field(default_factory=dict)
    highest: dict[str, Tensor] = field(default_factory=dict)
    multiple: int = 0

    def _begin(self, evidence: PatchGrid) -> None:
        """Set the grid of the blended maps from the grid of the first window's map."""
        whole, window = self.layout.whole, self.layout.window
        self.multiple = max(1, round(evidence.rows / window.rows))
        rows, columns = (self.multiple * n for n in (window.rows, window.columns))
        self.weight = window_weight(rows, columns, self.weighting)
        shape = (whole.rows, whole.columns)
        self.weights = torch.zeros(*(self.multiple * length for length in shape))

    def _maps(self, scores: Tensor, grid: PatchGrid) -> Tensor:
        """Scores of patches (C, P) as maps of the size of the weights of a window."""
        maps, size = grid.to_map(scores), list(self.weight.shape)
        if list(maps.shape[-2:]) == size:
            return maps
        if grid.rows >= size[0] and grid.columns >= size[1]:  # this window was refined alone
            return adaptive_avg_pool2d(maps, (size[0], size[1]))
        return interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]

    def add(self, corner: Corner, evidence: Evidence, row: int) -> None:
        """Add the evidence of a window; log ratios that are deferred are left out.

        Args:
            corner: row and column of the upper left patch of the window.
            evidence: evidence of a batch of windows.
            row: index of the window in this batch.
        """
        if not self.multiple:
            self._begin(evidence.grid)
        within = self._within(*corner)
        self.weights[within] += self.weight
        for name in ("patches", "similarity"):
            scores = getattr(evidence, name)
            if scores is not None:
                finer = evidence.similarity_grid if name == "similarity" else None
                maps = self._maps(scores[row], finer or evidence.grid)
                total = self.sums.setdefault(name, torch.zeros(len(maps), *self.weights.shape))
                total[:, *within] += maps * self.weight
        of_texts = {
            "image": evidence.image[row],
            "reference_log_ratios": evidence.log_ratios_of_image(row),
        }
        for name, values in of_texts.items():
            if isinstance(values, Tensor):
                self.highest[name] = torch.maximum(values, self.highest.get(name, values))

    def mean(self, name: str) -> Tensor:
        """Return the blended maps (C, rows, columns) of "patches" or "similarity"."""
        return self.sums[name] / self.weights

    def _within(self, top: int, left: int) -> tuple[slice, slice]:
        first_row, first_column = self.multiple * top, self.multiple * left
        rows, columns = self.weight.shape
        return slice(first_row, first_row + rows), slice(first_column, first_column + columns)
