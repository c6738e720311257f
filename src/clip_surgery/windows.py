"""Explanation of a large image by overlapping windows.

Models work best at the size they were trained with, and small objects disappear if an image of many
megapixels is resized to it. Windows of the model's size are explained in batches and blended on
the grid of the whole image. Patches near the border of a window have less context and get a lower
weight. Memory is needed for one batch and one map per text, whatever the number of windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

from clip_surgery.blended_windows import blended_scores
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evidence_rows import joined_scores
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource, read_image, to_pixels
from clip_surgery.methods.applied_settings import applied_settings
from clip_surgery.stitched_windows import evidence_of_outputs, evidence_of_values
from clip_surgery.surgery.window_layout import WindowLayout, WindowWeighting
from clip_surgery.text.features import TextFeatures

MAX_PATCHES = 2**20
"""Maximum number of patches of a whole image; a larger image is scaled down."""
Stitch = Literal["logits", "outputs", "values"]


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
    weighting: WindowWeighting = "tent"

    def __post_init__(self) -> None:
        for name, known in (("stitch", Stitch), ("weighting", WindowWeighting)):
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
    layout = WindowLayout.covering(
        grid, side=side, step=step, weighting=windows.weighting, patch_size=patch
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
        return blended_scores(explainer, pixels, texts, layout, windows.weighting)
    stitch = evidence_of_outputs if windows.stitch == "outputs" else evidence_of_values
    evidence = stitch(explainer, pixels[None], texts, layout)
    return joined_scores([(evidence, 0)], texts=len(texts.texts))
