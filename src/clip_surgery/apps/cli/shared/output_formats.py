"""The formats of result files, and what commands write for one image."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from clip_surgery.errors import UnknownNameError


class Format(StrEnum):
    """Kinds of files that commands write."""

    PNG = "png"
    OVERLAYS = "overlays"
    PDF = "pdf"
    SVG = "svg"
    MASK = "mask"
    HTML = "html"
    JSON = "json"
    JSONL = "jsonl"
    NPZ = "npz"
    SAFETENSORS = "safetensors"

    @property
    def suffix(self) -> str:
        """How the names of such files end; overlays have the text before it."""
        return {Format.MASK: ".mask.png", Format.OVERLAYS: ".png"}.get(self, f".{self}")

    @property
    def is_for_run(self) -> bool:
        """Whether there is one file for all images of a run, not one for each image."""
        return self in (Format.HTML, Format.JSONL)


FIGURE_FORMATS = (Format.PNG, Format.PDF, Format.SVG)
"""Formats of a figure."""

Writer = Callable[[Path], object]
"""Writes one result to a file."""


@dataclass(frozen=True, kw_only=True)
class ImageResult:
    """The results for one image.

    Attributes:
        record: the results as plain values, for JSON.
        files: the writer of each other format.
        rows: the rows of the table that is printed at the end, without the name of the image.
        overlays: the writers of one overlay per text, by a part of their file names.
        html_card: returns the part of an HTML report that shows this image; None if the command
            writes no such report.
    """

    record: Mapping[str, object]
    files: Mapping[Format, Writer]
    rows: Sequence[Sequence[str]]
    overlays: Mapping[str, Writer] = field(default_factory=dict)
    html_card: Callable[[], str] | None = None


def read_formats(names: Sequence[str], known: Collection[Format]) -> tuple[Format, ...]:
    """Return the formats that options name, each once; an option may name several with commas.

    Raises:
        UnknownNameError: for an unknown format.

    Example:
        >>> [format.value for format in read_formats(["png,json", "png"], list(Format))]
        ['png', 'json']
    """
    formats: dict[Format, None] = {}
    for name in ",".join(names).lower().split(","):
        if name.strip() not in known:
            raise UnknownNameError.among("format", name.strip(), [f.value for f in known])
        formats[Format(name.strip())] = None
    return tuple(formats)


def json_writer(record: object) -> Writer:
    """Return a writer of a record as indented JSON."""

    def write(path: Path) -> None:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    return write
