"""The results of all images of a run, for files that hold them together: JSON lines and HTML."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from clip_surgery.apps.cli.shared.html_report import html_report
from clip_surgery.apps.cli.shared.source_records import FIELD, source_id


class RunResults:
    """Collects the results of images.

    Args:
        with_lines: whether the records are kept, for JSON lines.
        with_cards: whether the cards are kept, for an HTML report.
    """

    def __init__(self, *, with_lines: bool, with_cards: bool) -> None:
        self._with_lines = with_lines
        self._with_cards = with_cards
        self._lines: list[str] = []
        self._cards: list[str] = []
        self.sources: list[str] = []

    def add(self, image: str, record: Mapping[str, object], card: Callable[[], str] | None) -> None:
        """Keep the results for one image, as far as a file of the run needs them.

        Args:
            image: the path of the image.
            record: the results as plain values.
            card: returns the part of an HTML report that shows the image.
        """
        source = source_id(image)
        if self._with_lines:
            line = json.dumps({**record, FIELD: source}, ensure_ascii=False, allow_nan=False)
            self._lines.append(line)
        if self._with_cards and card is not None:
            self._cards.append(card())
        self.sources.append(source)

    def writers(self, command: str) -> dict[str, Callable[[Path], object]]:
        """Return the writer of each format of the run: "jsonl" and "html".

        Args:
            command: name of the command, for the title of the report.
        """
        lines = "".join(f"{line}\n" for line in self._lines)
        return {
            "jsonl": lambda path: path.write_text(lines, encoding="utf-8"),
            "html": lambda path: path.write_text(
                html_report(command, self._cards), encoding="utf-8"
            ),
        }
