"""Windows: a large image seen through overlapping crops, as one explanation.

A model sees best at the size it was trained for; an image of many megapixels squeezed into that
loses its small objects. Crops of the model's size, some pixels apart, are explained a batch at a
time and blended on the grid of the whole image, each weighted less towards its rim, where a
crop has seen less around it. Memory holds one batch and one map per text, however many windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource, read_image, to_pixels
from clip_surgery.methods.method import Evidence
from clip_surgery.text.features import TextFeatures

MOST_PATCHES = 2**20
"""Largest grid of a whole image, in patches; a longer image is scaled down."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How an image is cut, in pixels; all are rounded to whole patches.

    Attributes:
        size: the short side that the image is first brought to, ratio kept; its own if None.
        crop: side of a window, the model's own size if None.
        stride: from one window to the next, half a window if None.

    Raises:
        InputError: when one is below 1, or stride is larger than crop.
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
        """How the whole image is brought to whole patches."""
        return Framing.keep_ratio(
            original,
            short_side=self.size or min(original),
            multiple_of=patch_size,
            max_patches=MOST_PATCHES,
        )

    def side_and_step(self, native_size: int, patch_size: int) -> tuple[int, int]:
        """Side of a window and way to the next, in patches."""
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
    """Explain one image through overlapping windows, as an explanation of the whole.

    `image_scores` and `reference_log_ratios` are the maxima over all windows, because a text is in
    the image if it is in one of its windows. `texts` are texts, or the result of
    `Explainer.encode`.

    Raises:
        InputError: when the image or a text cannot be used.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> explanation = explain_windows(explainer, Image.new("RGB", (320, 200)), ["dog", "boat"])
        >>> explanation.patch_scores[0].shape
        torch.Size([2, 25, 40])
    """
    windows = windows or Windows()
    picture = read_image(image)
    features = texts if isinstance(texts, TextFeatures) else explainer.encode(texts)
    patch = explainer.backbone.tower.patch_size
    framing = windows.framing(picture.size, patch)
    grid = PatchGrid(rows=framing.frame.height // patch, columns=framing.frame.width // patch)
    side, step = windows.side_and_step(explainer.backbone.image_size, patch)
    blend = _Blend(grid, PatchGrid(rows=min(side, grid.rows), columns=min(side, grid.columns)))
    pixels = to_pixels(framing.apply(picture.image))
    corners = [
        (top, left)
        for top in window_starts(grid.rows, side, step)
        for left in window_starts(grid.columns, side, step)
    ]
    for start in range(0, len(corners), explainer.batch_size):
        part = corners[start : start + explainer.batch_size]
        crops = [_crop(pixels, corner, blend.window, patch) for corner in part]
        blend.add(part, explainer.explain_pixels(torch.stack(crops), features))
    return Explanation(
        patch_scores=(blend.mean("patches"),),
        similarity=(blend.mean("similarity"),) if "similarity" in blend.sums else None,
        image_scores=blend.highest["image"][None],
        texts=features.texts,
        framings=(framing,),
        images=(picture.name,),
        method=f"{explainer.method!r} in windows of {side * patch} px, {step * patch} px apart",
        backbone=explainer.backbone.name,
        reference_log_ratios=blend.highest["reference_log_ratios"][None]
        if "reference_log_ratios" in blend.highest
        else None,
    )


def window_starts(length: int, side: int, step: int) -> list[int]:
    """Where windows of `side` begin on a line, `step` apart; the last one ends where it does.

    Example:
        >>> window_starts(10, 4, 3), window_starts(11, 4, 3), window_starts(3, 4, 3)
        ([0, 3, 6], [0, 3, 6, 7], [0])
    """
    last = max(0, length - side)
    return [*range(0, last, step), last]


@dataclass(eq=False)
class _Blend:
    """Weighted sums of windows on the grid of the image, and what is highest in any of them."""

    grid: PatchGrid
    window: PatchGrid
    sums: dict[str, Tensor] = field(default_factory=dict)
    highest: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weight = _tent(self.window.rows)[:, None] * _tent(self.window.columns)
        self.weights = torch.zeros(self.grid.rows, self.grid.columns)

    def add(self, corners: list[tuple[int, int]], evidence: Evidence) -> None:
        """Take in a batch of windows whose upper left patches are `corners`."""
        for name in ("patches", "similarity"):
            scores = getattr(evidence, name)
            if scores is None:
                continue
            total = self.sums.setdefault(name, torch.zeros(scores.shape[1], *self.weights.shape))
            for (top, left), maps in zip(corners, self.window.to_map(scores), strict=True):
                total[:, *self._within(top, left)] += maps * self.weight
        for top, left in corners:
            self.weights[self._within(top, left)] += self.weight
        for name in ("image", "reference_log_ratios"):
            scores = getattr(evidence, name)
            if scores is not None:
                most = scores.amax(dim=0)
                self.highest[name] = torch.maximum(most, self.highest.get(name, most))

    def mean(self, name: str) -> Tensor:
        """The blended maps (C, rows, columns)."""
        return self.sums[name] / self.weights

    def _within(self, top: int, left: int) -> tuple[slice, slice]:
        return slice(top, top + self.window.rows), slice(left, left + self.window.columns)


def _crop(pixels: Tensor, corner: tuple[int, int], window: PatchGrid, patch: int) -> Tensor:
    """The pixels (3, h, w) of the window whose upper left patch is `corner`."""
    top, left = (patch * place for place in corner)
    return pixels[:, top : top + patch * window.rows, left : left + patch * window.columns]


def _tent(length: int) -> Tensor:
    """Weights (length,) that rise from the rim to 1 in the middle and are nowhere 0."""
    half = torch.arange(1, length + 1, dtype=torch.float32)
    rising = torch.minimum(half, half.flip(0))
    return rising / rising.max()
