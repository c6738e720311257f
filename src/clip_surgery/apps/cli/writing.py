"""Writing: the results of one picture to files, each name once."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from clip_surgery.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from PIL.Image import Image

    from clip_surgery.explanation import Explanation
    from clip_surgery.inputs.images import Picture
    from clip_surgery.tasks.heatmaps import Contrast

DRAWN_PIXELS = 640 * 640  # of a picture in a figure: more would be slow and not be seen


class Format(StrEnum):
    """Kinds of files that `explain` writes."""

    PNG = "png"
    JSON = "json"
    SAFETENSORS = "safetensors"


def read_formats(given: Sequence[str]) -> tuple[Format, ...]:
    """Formats from options that may each hold a comma list, in order, each once.

    Raises:
        UnknownNameError: for an unknown format.

    Example:
        >>> [format.value for format in read_formats(["png,json", "png"])]
        ['png', 'json']
    """
    formats: dict[Format, None] = {}
    for name in ",".join(given).lower().split(","):
        if name.strip() not in Format.__members__.values():
            raise UnknownNameError.among("format", name.strip(), [f.value for f in Format])
        formats[Format(name.strip())] = None
    return tuple(formats)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A folder that results are written to, and how they are drawn.

    Attributes:
        folder: where files are written.
        formats: the kinds of files for each picture.
        contrast: what is low and high in a figure.
        opacity: share of the colours in a figure.
        colour_map: name of the colours in a figure.
        inputs: the pictures asked for, which no result may replace.
        written: the files so far.
    """

    folder: Path
    formats: tuple[Format, ...]
    contrast: Contrast
    opacity: float
    colour_map: str
    inputs: Collection[Path] = ()
    written: list[Path] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the folder, before any long work.

        Raises:
            InputError: when it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be the folder for results ({error.strerror})."
            ) from error

    def write(self, picture: Picture, explanation: Explanation) -> None:
        """Write one picture's explanation in all formats.

        Raises:
            InputError: when a score is not finite or a file cannot be written.
        """
        stem = self._free_stem(Path(picture.name).stem)
        for kind in self.formats:
            path = self.folder / f"{stem}.{kind}"
            try:
                self._write(path, kind, picture, explanation)
            except OSError as error:
                raise InputError(f"{path}: cannot be written ({error.strerror}).") from error
            self.written.append(path)

    def _free_stem(self, wanted: str) -> str:
        """A name that no other picture of this run has, in any letter case, and no input."""
        taken = {path.stem.casefold() for path in self.written}
        taken |= {path.stem.casefold() for path in self.inputs if self._is_here(path)}
        stem = wanted
        for number in count(2):
            if stem.casefold() not in taken:
                return stem
            stem = f"{wanted}-{number}"
        raise AssertionError("count never ends")

    def _is_here(self, path: Path) -> bool:
        return path.parent.resolve() == self.folder.resolve()

    def _write(self, path: Path, kind: Format, picture: Picture, explanation: Explanation) -> None:
        from clip_surgery.outputs.records import records

        if kind is Format.SAFETENSORS:
            explanation.save(path)
        elif kind is Format.JSON:
            [record] = records(explanation)
            text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
            path.write_text(text + "\n", encoding="utf-8")
        else:
            self._draw(picture, explanation).save(path)

    def _draw(self, picture: Picture, explanation: Explanation) -> Image:
        from clip_surgery.outputs.figure import figure
        from clip_surgery.tasks.heatmaps import heatmaps

        small, explanation = at_most(DRAWN_PIXELS, picture, explanation)
        return figure(
            small,
            heatmaps(explanation, contrast=self.contrast)[0],
            explanation.texts,
            notes=[f"score {score:.3f}" for score in explanation.image_scores[0].tolist()],
            heading=f"{Path(picture.name).name} · {explanation.method} · {explanation.backbone}",
            opacity=self.opacity,
            colour_map=self.colour_map,
        )


def at_most(pixels: int, picture: Picture, explanation: Explanation) -> tuple[Picture, Explanation]:
    """The picture and its explanation at a size of at most `pixels`, to draw small figures.

    Maps of a large photograph for many texts would take gigabytes, to be shrunk in the figure.
    """
    from clip_surgery.framing import Size
    from clip_surgery.inputs.images import Picture

    scale = math.sqrt(pixels / math.prod(picture.size))
    if scale >= 1:
        return picture, explanation
    size = Size(*(max(1, round(side * scale)) for side in picture.size))
    [framing] = explanation.framings
    return (
        Picture(
            image=picture.image.resize((size.width, size.height), reducing_gap=3.0),
            name=picture.name,
        ),
        replace(explanation, framings=(replace(framing, original=size),)),
    )
