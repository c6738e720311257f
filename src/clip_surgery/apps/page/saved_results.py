"""Results as a visitor saves them: all of them as JSON, and one tab as a figure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL.Image import Image

from clip_surgery.apps.page.results import (
    points_and_boxes,
    points_result,
    record,
    segmentation,
    tags_with_presence,
)
from clip_surgery.apps.page.sessions import Session, Shown, at_size, reduced, require_session
from clip_surgery.errors import InputError
from clip_surgery.figures.annotations import cut_out, draw_annotations
from clip_surgery.figures.layout import gallery
from clip_surgery.figures.maps import figure
from clip_surgery.figures.segments import segmentation_figure
from clip_surgery.figures.tags import tags_figure
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.figures.words import words_figure
from clip_surgery.records.explanations import DIGITS
from clip_surgery.records.regions import masks_record, segmentation_record
from clip_surgery.records.texts import tags_record, words_record
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import Background
from clip_surgery.tasks.tags import tags

DRAWN_SIDE = 640
"""Longer side in pixels of the images in a saved figure."""
TABS = ("maps", "points", "tags", "words", "attention", "segments", "masks")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a visitor that change how results are shown, without a run of the model."""

    contrast: Contrast = "text"
    opacity: float = 0.75
    min_presence: float | None = None
    background: Background = "threshold"


DEFAULTS = Settings()


def full_record(shown: Shown | Session, settings: Settings = DEFAULTS) -> dict[str, Any]:
    """Return everything that the page shows of the image, ready for JSON.

    Results that the visitor has not asked for (words, attention, masks) are left out.

    Raises:
        InputError: if the page shows no result.
    """
    if isinstance(shown, Session):
        shown = Shown(session=shown)
    result: dict[str, Any] = {}
    if shown.session is not None:
        explanation = shown.session.explanation
        result["explanation"] = record(explanation)
        result["objects"] = points_result(explanation, settings.min_presence)["objects"]
        tagged = shown.tags or explanation
        result["tags"] = tags_record(tagged, tags(tagged)[0])["tags"]
        if explanation.similarity is not None:
            classes = [[text] for text in explanation.texts]
            segments = segmentation(shown.session, settings.background)
            kept = shown.session.kept_explanation
            result["segments"] = segmentation_record(kept, segments, classes)
        if shown.masks is not None:
            kept = shown.session.kept_explanation
            result["masks"] = masks_record(kept, shown.masks, kept.texts)
    if shown.words is not None:
        result["words"] = words_record(shown.words)
    if shown.attention:
        result["attention"] = _attention_record(shown)
    if not result:
        require_session(None)
    return result


def _attention_record(shown: Shown) -> dict[str, Any]:
    image, (first, *_) = shown.attention_image, shown.attention
    assert image is not None
    return {
        "image": image.name,
        "size": {"height": image.size.height, "width": image.size.width},
        "point": [round(value, 1) for value in first.point],
        "maps": [
            {
                "kind": attention_map.kind,
                "patch": list(attention_map.patch),
                "weights": attention_map.weights.double().numpy().round(DIGITS).tolist(),
            }
            for attention_map in shown.attention
        ],
    }


def tab_figure(shown: Shown, tab: str, settings: Settings = DEFAULTS) -> Image:
    """Return the results of one tab as a figure.

    Args:
        shown: the results of the visitor.
        tab: one of `TABS`.
        settings: how the results are shown.

    Raises:
        InputError: if the tab shows no result.
    """
    if tab == "words":
        return _words_drawing(shown, settings.opacity)
    if tab == "attention":
        return _attention_drawing(shown, settings.opacity)
    session = require_session(shown)
    if tab == "masks":
        return _masks_drawing(shown, session)
    if tab == "tags":
        explanation = shown.tags or session.explanation
        best = [tag for tag, _ in tags_with_presence(explanation, top=12)]
        image = reduced(session.image, DRAWN_SIDE)
        return tags_figure(image, best, heading=heading(session)).image()
    return _regions_or_maps(session, tab, settings)


def _regions_or_maps(session: Session, tab: str, settings: Settings) -> Image:
    if tab == "points":
        return _points_drawing(session, settings)
    if tab == "segments":
        classes = segmentation(session, settings.background)
        return segmentation_figure(
            session.image, classes, session.explanation.texts, heading=heading(session),
            opacity=settings.opacity,
        ).image()  # fmt: skip
    return drawing(session, contrast=settings.contrast, opacity=settings.opacity)


def heading(session: Session) -> str:
    """Return the line above a figure: image, method and model."""
    explanation = session.explanation
    return f"{session.image.name} · {explanation.method} · {explanation.backbone}"


def drawing(session: Session, *, contrast: Contrast = "text", opacity: float = 0.75) -> Image:
    """Return the maps over the image as one figure."""
    image = reduced(session.image, DRAWN_SIDE)
    explanation = at_size(session.explanation, image.size)
    probabilities = presence(explanation)[0].tolist()
    return figure(
        image,
        heatmaps(explanation, contrast=contrast)[0],
        explanation.texts,
        notes=[f"presence {probability:.0%}" for probability in probabilities],
        heading=heading(session),
        opacity=opacity,
    ).image()


def _points_drawing(session: Session, settings: Settings) -> Image:
    image = session.image
    style = Style.of(image, tile=340)
    tiles = []
    by_text = points_and_boxes(session.kept_explanation, settings.min_presence)
    for text, (points, boxes) in by_text.items():
        drawn = style.plain(image).edited(
            partial(draw_annotations, original=image.size, points=points, boxes=boxes[:1])
        )
        note = f"{len(points.positives)} on, {len(points.negatives)} off"
        tiles.append(Tile(drawn, text, note if len(points) else "no points"))
    return gallery(tiles, heading=heading(session)).image()


def _masks_drawing(shown: Shown, session: Session) -> Image:
    if shown.masks is None:
        raise InputError("Press Segment objects first; there are no masks to save.")
    image = session.image
    style = Style.of(image, tile=340)
    tiles = []
    for text, mask in zip(session.explanation.texts, shown.masks, strict=True):
        drawn, note = style.plain(image), "no object found"
        if mask is not None:
            drawn = drawn.edited(partial(cut_out, mask=mask.mask)).edited(
                partial(draw_annotations, original=image.size, points=mask.points)
            )
            note = f"score {mask.score:.2f}"
        tiles.append(Tile(drawn, text, note))
    return gallery(tiles, heading=heading(session)).image()


def _words_drawing(shown: Shown, opacity: float) -> Image:
    if shown.words is None or shown.words_image is None:
        raise InputError("Press Read first; there are no words to save.")
    return words_figure(shown.words_image, shown.words, top=6, opacity=opacity)


def _attention_drawing(shown: Shown, opacity: float) -> Image:
    if not shown.attention or shown.attention_image is None:
        raise InputError("Choose a point first; there is no attention to save.")
    image = shown.attention_image
    style = Style.of(image, tile=340, opacity=opacity)
    tiles = [
        Tile(style.mapped(image, attention_map.heatmap()), f"attention {attention_map.kind}")
        for attention_map in shown.attention
    ]
    x, y = shown.attention[0].point
    return gallery(tiles, heading=f"{image.name} · point x {x:.0f}, y {y:.0f} px").image()
