"""The files that `clip-surgery explain` writes for one image: sheets, overlays and records."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared.drawing_options import DrawingOptions
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions

if TYPE_CHECKING:
    from torch import Tensor

    from clip_surgery.apps.cli.shared.output_formats import ImageResult, Writer
    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet
    from clip_surgery.inputs.images import InputImage

OVERLAY_PIXELS = 1600 * 1600
"""Pixels of an overlay; larger images are drawn smaller."""
LONGEST_PART = 40  # characters of a text in the name of its overlay


@dataclass(frozen=True)
class ExplanationFiles:
    """What is drawn of the explanation of one image; maps are computed when they are first used.

    Attributes:
        image: the image.
        explanation: its explanation.
        drawing: scaling and colours of the maps.
        sheet: size and heading of the sheet with all maps.
    """

    image: InputImage
    explanation: Explanation
    drawing: DrawingOptions
    sheet: SheetOptions

    def result(self) -> ImageResult:
        """Return the results in all formats."""
        from clip_surgery.apps.cli.shared.output_formats import Format, ImageResult
        from clip_surgery.apps.cli.shared.tables import peak_rows
        from clip_surgery.records.arrays import save_arrays
        from clip_surgery.records.explanations import records

        [record] = records(self.explanation)
        return ImageResult(
            record=record,
            files={
                **self.sheet.files(self.draw),
                Format.NPZ: lambda path: save_arrays(self.explanation, path),
                Format.SAFETENSORS: self.explanation.save,
            },
            rows=peak_rows(record),
            overlays={
                part: self._overlay_writer(index)
                for index, part in enumerate(file_parts(self.explanation.texts))
            },
            html_card=self.html_card,
        )

    @cached_property
    def small(self) -> tuple[InputImage, Tensor]:
        """The image and its maps at the size of a figure."""
        from clip_surgery.apps.cli.shared.drawing import at_most, notice_if_nothing_is_drawn
        from clip_surgery.tasks.heatmaps import heatmaps

        image, explanation = at_most(self.image, self.explanation)
        maps = heatmaps(explanation, contrast=self.drawing.scaling(explanation))[0]
        notice_if_nothing_is_drawn(self.image, explanation, maps, self.drawing)
        return image, maps

    def draw(self, page: PageFormat) -> Sheet:
        """Return the sheet with all maps."""
        from clip_surgery.apps.cli.shared.drawing import heading, score_notes
        from clip_surgery.figures.maps import figure

        image, maps = self.small
        explanation = self.explanation
        return figure(
            image,
            maps,
            explanation.texts,
            notes=self.sheet.notes(score_notes(explanation)),
            heading=self.sheet.heading(
                heading(self.image, explanation.method, explanation.backbone)
            ),
            opacity=self.drawing.opacity,
            colour_map=self.drawing.colour_map,
            page=page,
        )

    def html_card(self) -> str:
        """Return the part of the HTML report that shows the image."""
        from clip_surgery.apps.cli.shared.html_report import image_card
        from clip_surgery.tasks.presence import presence

        image, maps = self.small
        is_known = self.explanation.reference_log_ratios is not None
        return image_card(
            image,
            maps,
            self.explanation.texts,
            self.explanation.image_scores[0].tolist(),
            presence(self.explanation)[0].tolist() if is_known else None,
            opacity=self.drawing.opacity,
            colour_map=self.drawing.colour_map,
        )

    def _overlay_writer(self, index: int) -> Writer:
        """The writer of the overlay of one text, at the size of the image if it is not too large.

        One map is computed at a time, since all maps of a photograph would take gigabytes.
        """

        def write(path: Path) -> None:
            from clip_surgery.apps.cli.shared.drawing import at_most
            from clip_surgery.figures.overlay import overlay
            from clip_surgery.tasks.heatmaps import heatmaps

            image, explanation = at_most(self.image, self.explanation, pixels=OVERLAY_PIXELS)
            contrast = self.drawing.scaling(explanation)
            if contrast == "image":  # the range of all maps is needed
                heatmap = heatmaps(explanation, contrast="image")[0][index]
            else:
                text = explanation.texts[index]
                heatmap = heatmaps(explanation.only(text), contrast=contrast)[0][0]
            overlay(
                image,
                heatmap,
                opacity=self.drawing.opacity,
                colour_map=self.drawing.colour_map,
            ).save(path)

        return write


def file_parts(texts: Sequence[str]) -> list[str]:
    """Return a part of a file name for each text, each different from the others in any case.

    Letters and digits of all languages are kept; everything else becomes "-".

    Example:
        >>> file_parts(["bench", "two dogs", "../dogs", "two/dogs", "?"])
        ['bench', 'two-dogs', 'dogs', 'two-dogs-2', 'text']
    """
    parts: dict[str, str] = {}  # the part by its letters without case
    for text in texts:
        letters = unicodedata.normalize("NFC", text)
        stem = "".join(c if _is_in_name(c) else "-" for c in letters)
        stem = re.sub("-+", "-", stem).strip("-_")[:LONGEST_PART] or "text"
        part, number = stem, 2
        while part.casefold() in parts:
            part, number = f"{stem}-{number}", number + 1
        parts[part.casefold()] = part
    return list(parts.values())


def _is_in_name(character: str) -> bool:
    """Whether a character is kept in a file name: letters with their marks, digits and "_"."""
    is_mark = unicodedata.category(character) in ("Mn", "Mc")
    is_variation = 0xFE00 <= ord(character) <= 0xFE0F  # the colour of an emoji
    return character.isalnum() or character == "_" or (is_mark and not is_variation)
