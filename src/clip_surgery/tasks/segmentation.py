"""Segmentation: every pixel to the class whose text it matches best.

Argmax over the dense path's similarity without feature surgery, as in CLIP Surgery
(arXiv 2304.05653): an offset taken from all texts cannot improve an argmax. Borders run between
patches, because the argmax is that of the resized maps. Only the maps that can win between four
neighbouring patch centres are evaluated there (see `cell_argmax`), so time and memory hardly grow
with the number of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.presets import preset_named
from clip_surgery.refinement.registry import Refinement, as_refinement
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.surgery.min_max import rescale
from clip_surgery.tasks.cell_argmax import argmax_of_resized
from clip_surgery.tasks.class_maps import require_similarity
from clip_surgery.tasks.class_probability import best_probability
from clip_surgery.tasks.map_resize import MapResize
from clip_surgery.tasks.mask_redraw import redraw_regions
from clip_surgery.tasks.presence import texts_present
from clip_surgery.tasks.refinement import refine as refine_explanation
from clip_surgery.tasks.text_selection import Texts, check_distinct, select_texts

Background = Literal["none", "threshold", "probability", "words"]
NO_CLASS = -1
"""Value of a pixel that belongs to no class, as in the masks of data sets."""
DEFAULT_THRESHOLD = 0.6
"""Default of the lowest level of a class, for the background rule "threshold"."""
_ROUNDING = 1e-6
"""Levels this little below the threshold reach it, so that a maximum reaches the threshold 1."""


def segment(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    background: Background = "none",
    threshold: float = DEFAULT_THRESHOLD,
    background_words: Sequence[str] = (),
    logit_scale: float = 40.0,
    min_presence: float | None = None,
    refine: str | Refinement = "none",
    images: Sequence[ImageSource | InputImage] | ImageSource | None = None,
    segmenter: Segmenter | None = None,
    preset: str | None = None,
) -> list[Tensor]:
    """Return the class of every pixel in each image.

    Args:
        explanation: explanations of B images by a method with a dense similarity.
        texts: the classes; by default each text of the explanation is one. A class has one name or
            several ("person,man,woman" or a list, see `split_names`), each a text of the
            explanation; a pixel's score for it is the highest of its names.
        union: whether all texts together are one class.
        background: where no class is. "none": nowhere. "threshold": where the map of the best
            class, min-maxed over the image, is below `threshold`. "probability": where the best
            name, by the softmax of `logit_scale` times the similarity over all names, is less
            likely than `threshold`. "words": where one of `background_words` is better than all
            classes.
        threshold: for "threshold" and "probability", in [0, 1].
        background_words: for "words", texts of the explanation. With "probability" they may be
            given too, and compete.
        logit_scale: for "probability"; 40 in most published codes.
        min_presence: minimum presence probability in [0, 1]; names below it do not compete in an
            image, so that names of absent objects win no pixel. If None, all names compete. Where
            no name is left, no pixel has a class.
        refine: refinement of the maps along the edges of the images, "laplacian", "guided",
            "pamr", "pixel graph" or an object with settings (see `refine`). It needs `images`.
        images: the B images of the explanation, for `refine` and `segmenter`.
        segmenter: redraws the regions of each class, for example a `SamSegmenter` (see
            `redraw_regions`). It needs `images`.
        preset: "fast", "scenes", "balanced" or "best": sets threshold, min_presence and refine,
            which are then not given too. The explanation should be of an explainer with the same
            preset.

    Returns:
        One tensor (H, W) of int64 per image: indices of the classes, -1 where there is none.

    Raises:
        InputError: if the method has no dense similarity, a score is not finite, there is no
            class, a name occurs in two classes, a threshold or min_presence is out of range,
            background words are missing or given for another kind of background, presence is
            needed and the explanation was made without a vocabulary, images are needed and missing
            or others than those of the explanation, or the preset "best" has no segmenter.
        UnknownNameError: if the explanation was not made for a name, or the background, refinement
            or preset is unknown.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "sheep"])
        >>> segment(explanation, ["clock", "cow,sheep"])[0].shape
        torch.Size([256, 256])
    """
    require_similarity(explanation)
    if preset is not None:
        if (threshold, min_presence, refine) != (DEFAULT_THRESHOLD, None, "none"):
            raise InputError("Expected a preset, or threshold, min_presence and refine; not both.")
        chosen = preset_named(preset)
        if chosen.redraws and segmenter is None:
            raise InputError(f"The preset {preset!r} needs a segmenter such as SAM (segmenter=).")
        threshold, refine = chosen.threshold, chosen.refine
        with_presence = explanation.reference_log_ratios is not None
        min_presence = chosen.min_presence if with_presence else None
    if background not in get_args(Background):
        raise UnknownNameError.among("background", background, get_args(Background))
    if not 0 <= threshold <= 1:
        raise InputError(f"Expected threshold to be within 0 to 1, but got {threshold}.")
    if background != "probability" and (background == "words") != bool(background_words):
        raise InputError(
            f"Expected background words for background='words' and none otherwise, but got "
            f"{list(background_words)} for {background!r}."
        )
    classes = _classes(explanation, texts, union=union)
    if background_words:
        classes += [(NO_CLASS, index) for index in explanation.text_indices(background_words)]
    present = texts_present(explanation, min_presence)
    refinement = as_refinement(refine)
    sources = None
    if refinement is not None or segmenter is not None:
        sources = _images_of(explanation, images)
    if not 0 < logit_scale < float("inf"):
        raise InputError(f"Expected logit_scale above 0, but got {logit_scale}.")
    lowest = threshold if background in ("threshold", "probability") else None
    scale = logit_scale if background == "probability" else None
    segmentations = []
    for index in range(len(explanation)):
        competing = [c for c in classes if c[0] == NO_CLASS or present[index, c[1]]]
        explained = explanation[index]
        if sources is not None and competing:  # only the maps that compete are refined
            positions = sorted({position for _, position in competing})
            explained = explained.only([explanation.texts[position] for position in positions])
            explained = refine_explanation(explained, [sources[index]], refinement or "none")
            competing = [(number, positions.index(place)) for number, place in competing]
        segmentation = segment_image(explained, 0, competing, lowest=lowest, logit_scale=scale)
        if segmenter is not None and sources is not None and competing:
            segmentation = redraw_regions(
                segmentation,
                _best_scores(explained),
                sources[index],
                segmenter,
                with_background=background != "none",
            )
        segmentations.append(segmentation)
    return segmentations


def segment_image(
    explanation: Explanation,
    image: int,
    classes: Sequence[tuple[int, int]],
    *,
    lowest: float | None = None,
    logit_scale: float | None = None,
) -> Tensor:
    """Return the class (H, W) of every pixel of one image.

    Args:
        explanation: explanations of B images by a method with a dense similarity.
        image: index of the image.
        classes: (class, position of a text) for each text that competes. If there is none, no
            pixel has a class.
        lowest: lowest level of the best text's map, min-maxed over the image, for a pixel to have
            a class.
        logit_scale: if given, `lowest` is the lowest softmax probability of the best text instead.

    Raises:
        InputError: if the method has no dense similarity, or a score is not finite.
    """
    scores = require_similarity(explanation)[image].detach().float()
    if not scores.isfinite().all():
        raise InputError(f"{explanation.images[image]}: expected finite similarities.")
    device = scores.device
    if not classes:
        return torch.full(explanation.framings[image].original, NO_CLASS, device=device)
    maps = scores[torch.tensor([position for _, position in classes], device=device)]
    grid = Size(maps.shape[1], maps.shape[2])
    resize = MapResize.of(explanation.framings[image], grid, device=device)
    number, value = argmax_of_resized(maps, resize, with_value=lowest is not None)
    class_numbers = torch.tensor([class_number for class_number, _ in classes], device=device)
    result = class_numbers.index_select(0, number.flatten().int()).view(number.shape)
    if value is None or lowest is None:
        return result
    if logit_scale is not None:
        framing = explanation.framings[image]
        level = best_probability(maps, framing, value, logit_scale=logit_scale)
        return result.masked_fill_(level < lowest, NO_CLASS)
    low, high = (limit.flatten() for limit in resize.range_of(maps))
    level = rescale(value, low[number.long()], high[number.long()])
    return result.masked_fill_(level < lowest - _ROUNDING, NO_CLASS)


def _images_of(
    explanation: Explanation, images: Sequence[ImageSource | InputImage] | ImageSource | None
) -> list[InputImage]:
    """The images of an explanation, read."""
    if images is None:
        raise InputError(
            "Expected the images of the explanation for refine or a segmenter, but got none."
        )
    sources = as_image_list(images)
    if len(sources) != len(explanation):
        raise InputError(
            f"Expected the {len(explanation)} images of the explanation, but got {len(sources)}."
        )
    return [
        read_image(source, name=name)
        for source, name in zip(sources, explanation.images, strict=True)
    ]


def _best_scores(explanation: Explanation) -> Tensor:
    """The highest similarity of all texts at each pixel (H, W) of one image."""
    best = require_similarity(explanation)[0].detach().float().amax(dim=0, keepdim=True)
    return explanation.framings[0].restore_map(best)[0]


def _classes(explanation: Explanation, texts: Texts, *, union: bool) -> list[tuple[int, int]]:
    """(class, text index) of every name."""
    selection = select_texts(explanation, texts, union=union)
    if texts is not None:
        check_distinct([[explanation.texts[index] for index in set(g)] for g in selection.groups])
    return [(number, index) for number, group in enumerate(selection.groups) for index in group]
