"""Explanation of a large image by overlapping windows.

Models work best at the size they were trained with, and small objects disappear if an image of many
megapixels is resized to it. Windows of the model's size are explained in batches and blended on
the grid of the whole image. Patches near the border of a window have less context and get a lower
weight. Memory is needed for one batch and one map per text, whatever the number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from clip_surgery.batch_splitting import results_or_errors
from clip_surgery.deferred_tensor import DeferredTensor, unread
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.framed_images import compact_pixels, full_pixels
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource, read_image, to_pixels
from clip_surgery.methods.applied_settings import applied_settings
from clip_surgery.methods.method import Evidence
from clip_surgery.stitched_windows import evidence_of_outputs, evidence_of_values
from clip_surgery.surgery.stitching import WindowLayout
from clip_surgery.text.features import TextFeatures

MAX_PATCHES = 2**20
"""Maximum number of patches of a whole image; a larger image is scaled down."""


Stitch = Literal["logits", "outputs", "values"]
Weighting = Literal["tent", "equal"]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Sizes of the windows in pixels, which are rounded to whole patches.

    Attributes:
        size: short side to which the image is first resized with its aspect ratio kept; None
            keeps the size of the image.
        crop: side of a window; None is the model's own size.
        stride: distance between neighbouring windows; None is half a window.
        stitch: what is averaged where windows overlap. "logits": the scores of texts. "outputs":
            the patch features of a dense method, which are compared with texts once, so that
            `lposs` has one graph for the image and `refine` refines the image as a whole.
            "values": the input of the last block, whose attention then spans the image; only for
            methods that change the last block alone.
        weighting: weight of the patches of a window. "tent": less near its border, where there is
            less context. "equal": the same for all, as in published results.

    Raises:
        InputError: if a number is below 1, or stride is larger than crop.
        UnknownNameError: if stitch or weighting is unknown.
    """

    size: int | None = None
    crop: int | None = None
    stride: int | None = None
    stitch: Stitch = "logits"
    weighting: Weighting = "tent"

    def __post_init__(self) -> None:
        for name, known in (("stitch", Stitch), ("weighting", Weighting)):
            if getattr(self, name) not in get_args(known):
                raise UnknownNameError.among(name, getattr(self, name), get_args(known))
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
    the image if it is in one of its windows. If outputs or values are stitched, they are those of
    the mean image feature, or of the class token that attends to the whole image.

    Args:
        explainer: the model and method.
        image: a path, bytes, a PIL image or a numpy array.
        texts: C texts, or their features from `Explainer.encode`.
        windows: sizes of the windows; by default the model's size, half a window apart.

    Raises:
        InputError: if the image or a text cannot be used, or the windows of the method cannot be
            stitched in the chosen way.

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
    window = PatchGrid(rows=min(side, grid.rows), columns=min(side, grid.columns))
    corners = tuple(
        (top, left)
        for top in window_starts(grid.rows, side, step)
        for left in window_starts(grid.columns, side, step)
    )
    layout = WindowLayout(
        whole=grid,
        window=window,
        corners=corners,
        weight=window_weight(window.rows, window.columns, windows.weighting),
        patch_size=patch,
    )
    pixels = to_pixels(framing.apply(input_image.image))
    stitched = "" if windows.stitch == "logits" else f", {windows.stitch} stitched"
    method = applied_settings(explainer.method, explainer.backbone.tower)
    return Explanation(
        **_scores(explainer, pixels, features, layout, windows),
        texts=features.texts,
        framings=(framing,),
        images=(input_image.name,),
        method=f"{method!r} in windows of {side * patch} px, {step * patch} px apart{stitched}",
        backbone=explainer.model_name,
        presence_rule=explainer.find_presence_rule(),
    )


def _scores(
    explainer: Explainer,
    pixels: Tensor,
    texts: TextFeatures,
    layout: WindowLayout,
    windows: Windows,
) -> dict[str, Any]:
    """Return the fields of an explanation that hold scores, for pixels (3, H, W)."""
    if windows.stitch == "logits":
        return _blended_scores(explainer, compact_pixels(pixels), texts, layout, windows.weighting)
    stitch = evidence_of_outputs if windows.stitch == "outputs" else evidence_of_values
    evidence = stitch(explainer, pixels[None], texts, layout)
    similarity = evidence.similarity
    finer = evidence.similarity_grid or evidence.grid
    return {
        "patch_scores": (evidence.grid.to_map(evidence.patches[0]),),
        "similarity": None if similarity is None else (finer.to_map(similarity[0]),),
        "image_scores": evidence.image,
        "reference_log_ratios": unread(evidence, "reference_log_ratios"),
    }


def _blended_scores(
    explainer: Explainer,
    pixels: Tensor,
    texts: TextFeatures,
    layout: WindowLayout,
    weighting: Weighting,
) -> dict[str, Any]:
    """Return the scores of windows of compact pixels, blended on the grid of the image."""
    blend = _Blend(layout.whole, layout.window, weighting)
    parts = [
        layout.corners[start : start + explainer.batch_size]
        for start in range(0, len(layout.corners), explainer.batch_size)
    ]

    def crops(part: Sequence[tuple[int, int]]) -> Tensor:
        crops = [_crop(pixels, corner, layout.window, layout.patch_size) for corner in part]
        return full_pixels(torch.stack(crops))

    def explain_part(part: Sequence[tuple[int, int]]) -> list[tuple[Evidence, int]]:
        evidence = explainer.explain_pixels(crops(part), texts)
        return [(evidence, row) for row in range(len(part))]

    def log_ratios() -> Tensor:
        deferred = (explainer.deferred_log_ratios(crops(part), texts) for part in parts)
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
    elif texts.reference is not None:
        ratios = DeferredTensor(log_ratios)
    return {
        "patch_scores": (blend.mean("patches"),),
        "similarity": (blend.mean("similarity"),) if "similarity" in blend.sums else None,
        "image_scores": blend.highest["image"][None],
        "reference_log_ratios": ratios,
    }


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
    weighting: Weighting
    sums: dict[str, Tensor] = field(default_factory=dict)
    highest: dict[str, Tensor] = field(default_factory=dict)
    multiple: int = 0

    def _begin(self, evidence: PatchGrid) -> None:
        """Set the grid of the blended maps from the grid of the first window's map."""
        self.multiple = max(1, round(evidence.rows / self.window.rows))
        rows, columns = (self.multiple * n for n in (self.window.rows, self.window.columns))
        self.weight = window_weight(rows, columns, self.weighting)
        shape = (self.grid.rows, self.grid.columns)
        self.weights = torch.zeros(*(self.multiple * length for length in shape))

    def _maps(self, scores: Tensor, grid: PatchGrid) -> Tensor:
        """Scores of patches (C, P) as maps of the size of the weights of a window."""
        maps, size = grid.to_map(scores), list(self.weight.shape)
        if list(maps.shape[-2:]) == size:
            return maps
        if grid.rows >= size[0] and grid.columns >= size[1]:  # this window was refined alone
            return adaptive_avg_pool2d(maps, (size[0], size[1]))
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


def window_weight(rows: int, columns: int, weighting: Weighting) -> Tensor:
    """Return the weight of each patch of a window (rows, columns).

    Example:
        >>> window_weight(1, 4, "tent").tolist(), window_weight(1, 2, "equal").tolist()
        ([[0.5, 1.0, 1.0, 0.5]], [[1.0, 1.0]])
    """
    if weighting == "equal":
        return torch.ones(rows, columns)
    return _tent(rows)[:, None] * _tent(columns)


def _tent(length: int) -> Tensor:
    """Return weights (length,) that rise from the borders to 1 in the middle; all are positive."""
    half = torch.arange(1, length + 1, dtype=torch.float32)
    rising = torch.minimum(half, half.flip(0))
    return rising / rising.max()
