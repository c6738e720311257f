"""Explanation of a large image by overlapping windows.

Models work best at the size they were trained with, and small objects disappear if an image of many
megapixels is resized to it. Windows of the model's size are explained in batches and blended on
the grid of the whole image. Patches near the border of a window have less context and get a lower
weight. Memory is needed for one batch and one map per text, whatever the number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from clip_surgery.batch_splitting import results_or_errors
from clip_surgery.deferred_tensor import DeferredTensor
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.framed_images import compact_pixels, full_pixels
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource, read_image, to_pixels
from clip_surgery.methods.applied_settings import applied_settings
from clip_surgery.methods.method import Evidence
from clip_surgery.text.features import TextFeatures

MAX_PATCHES = 2**20
"""Maximum number of patches of a whole image; a larger image is scaled down."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Sizes of the windows in pixels, which are rounded to whole patches.

    Attributes:
        size: short side to which the image is first resized with its aspect ratio kept; None
            keeps the size of the image.
        crop: side of a window; None is the model's own size.
        stride: distance between neighbouring windows; None is half a window.

    Raises:
        InputError: if a number is below 1, or stride is larger than crop.
    """

    size: int | None = None
    crop: int | None = None
    stride: int | None = None

    def __post_init__(self) -> None:
        for name in ("size", "crop", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"Expected {name} of at least 1 px, but got {value}.")
        if self.crop is not None and self.stride is not None and self.stride > self.crop:
            raise InputError(
                f"Expected stride of at most the crop's {self.crop} px, but got {self.stride}."
            )

    def framing(self, original: Size, patch_size: int) -> Framing:
        """Return how the whole image is resized to whole patches."""
        return Framing.keep_ratio(
            original,
            short_side=self.size or min(original),
            multiple_of=patch_size,
            max_patches=MAX_PATCHES,
        )

    def side_and_step(self, native_size: int, patch_size: int) -> tuple[int, int]:
        """Return the side of a window and the distance to the next, in patches."""
        side = max(1, round((self.crop or native_size) / patch_size))
        step = side // 2 if self.stride is None else round(self.stride / patch_size)
        return side, max(1, min(side, step))


def explain_windows(
    explainer: Explainer,
    image: ImageSource,
    texts: Sequence[str] | TextFeatures,
    *,
    windows: Windows | None = None,
) -> Explanation:
    """Explain one image by overlapping windows and return one explanation of the whole image.

    `image_scores` and `reference_log_ratios` are the maxima over all windows, because a text is in
    the image if it is in one of its windows.

    Args:
        explainer: the model and method.
        image: a path, bytes, a PIL image or a numpy array.
        texts: C texts, or their features from `Explainer.encode`.
        windows: sizes of the windows; by default the model's size, half a window apart.

    Raises:
        InputError: if the image or a text cannot be used.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> explanation = explain_windows(explainer, Image.new("RGB", (320, 200)), ["dog", "boat"])
        >>> explanation.patch_scores[0].shape
        torch.Size([2, 25, 40])
    """
    windows = windows or Windows()
    input_image = read_image(image)
    features = texts if isinstance(texts, TextFeatures) else explainer.encode(texts)
    patch = explainer.backbone.tower.patch_size
    framing = windows.framing(input_image.size, patch)
    grid = PatchGrid(rows=framing.frame.height // patch, columns=framing.frame.width // patch)
    side, step = windows.side_and_step(explainer.backbone.image_size, patch)
    blend = _Blend(grid, PatchGrid(rows=min(side, grid.rows), columns=min(side, grid.columns)))
    pixels = compact_pixels(to_pixels(framing.apply(input_image.image)))
    corners = [
        (top, left)
        for top in window_starts(grid.rows, side, step)
        for left in window_starts(grid.columns, side, step)
    ]

    parts = [
        corners[start : start + explainer.batch_size]
        for start in range(0, len(corners), explainer.batch_size)
    ]

    def crops(part: Sequence[tuple[int, int]]) -> Tensor:
        crops = [_crop(pixels, corner, blend.window, patch) for corner in part]
        return full_pixels(torch.stack(crops))

    def explain_part(part: Sequence[tuple[int, int]]) -> list[tuple[Evidence, int]]:
        evidence = explainer.explain_pixels(crops(part), features)
        return [(evidence, row) for row in range(len(part))]

    def log_ratios() -> Tensor:
        deferred = (explainer.deferred_log_ratios(crops(part), features) for part in parts)
        return torch.stack([ratios.value.amax(dim=0) for ratios in deferred]).amax(dim=0)[None]

    for part in parts:
        results = results_or_errors(explain_part, part)
        for corner, result in zip(part, results, strict=True):
            if isinstance(result, Exception):
                raise result
            blend.add(corner, *result)
    ratios: Any = blend.highest.get("reference_log_ratios")
    if ratios is not None:
        ratios = ratios[None]
    elif features.reference is not None:
        ratios = DeferredTensor(log_ratios)
    method = applied_settings(explainer.method, explainer.backbone.tower)
    return Explanation(
        patch_scores=(blend.mean("patches"),),
        similarity=(blend.mean("similarity"),) if "similarity" in blend.sums else None,
        image_scores=blend.highest["image"][None],
        texts=features.texts,
        framings=(framing,),
        images=(input_image.name,),
        method=f"{method!r} in windows of {side * patch} px, {step * patch} px apart",
        backbone=explainer.model_name,
        reference_log_ratios=ratios,
        presence_rule=explainer.find_presence_rule(),
    )


def window_starts(length: int, side: int, step: int) -> list[int]:
    """Return the starts of windows of length `side`, `step` apart; the last ends at `length`.

    Example:
        >>> window_starts(10, 4, 3), window_starts(11, 4, 3), window_starts(3, 4, 3)
        ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    last = max(0, length - side)
    return [*range(0, last, step), last]


@dataclass(eq=False)
class _Blend:
    """Weighted sums of the windows on the grid of the image, and maxima over the windows.

    Maps on another grid than that of the window, for example on the patches of a companion, are
    interpolated to the grid of the window, or to a whole multiple of it if they are finer.
    """

    grid: PatchGrid
    window: PatchGrid
    sums: dict[str, Tensor] = field(default_factory=dict)
    highest: dict[str, Tensor] = field(default_factory=dict)
    multiple: int = 0

    def _begin(self, evidence: PatchGrid) -> None:
        """Set the grid of the blended maps from the grid of the first window's map."""
        self.multiple = max(1, round(evidence.rows / self.window.rows))
        rows, columns = (self.multiple * n for n in (self.window.rows, self.window.columns))
        self.weight = _tent(rows)[:, None] * _tent(columns)
        shape = (self.grid.rows, self.grid.columns)
        self.weights = torch.zeros(*(self.multiple * length for length in shape))

    def _maps(self, scores: Tensor, grid: PatchGrid) -> Tensor:
        """Scores of patches (C, P) as maps of the size of the weights of a window."""
        maps, size = grid.to_map(scores), list(self.weight.shape)
        if list(maps.shape[-2:]) == size:
            return maps
        if grid.rows >= size[0] and grid.columns >= size[1]:  # this window was refined alone
            return adaptive_avg_pool2d(maps, size)
        return interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0]

    def add(self, corner: tuple[int, int], evidence: Evidence, row: int) -> None:
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


def _crop(pixels: Tensor, corner: tuple[int, int], window: PatchGrid, patch: int) -> Tensor:
    """Return the pixels (3, h, w) of the window whose upper left patch is `corner`."""
    top, left = (patch * index for index in corner)
    return pixels[:, top : top + patch * window.rows, left : left + patch * window.columns]


def _tent(length: int) -> Tensor:
    """Return weights (length,) that rise from the borders to 1 in the middle; all are positive."""
    half = torch.arange(1, length + 1, dtype=torch.float32)
    rising = torch.minimum(half, half.flip(0))
    return rising / rising.max()
