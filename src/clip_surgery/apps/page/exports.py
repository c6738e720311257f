"""Handlers of the buttons that save results and copy code."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from clip_surgery.apps.page.html_cards import code, file_link
from clip_surgery.apps.page.requests import read_choice
from clip_surgery.apps.page.sessions import Results, require_session, require_shown
from clip_surgery.apps.page.settings import Settings, read_settings
from clip_surgery.apps.page.tabs.tab import Tab


@dataclass(frozen=True, kw_only=True, eq=False)
class Exports:
    """The handlers. Their arguments come from a visitor and are not trusted.

    Attributes:
        tabs: the tabs of the page by name.
    """

    tabs: Mapping[str, Tab]

    def save_image(self, shown: Any, tab: Any, *settings: Any) -> dict[str, str]:
        """Return the results of a tab as a PNG file for the browser to save."""
        results, checked_tab = require_shown(shown).results, self._tab(tab)
        content = io.BytesIO()
        checked_tab.figure(results, read_settings(*settings)).save(content, "PNG")
        name = f"{_image_stem(results)}.{checked_tab.name}.png"
        return _download(name, "image/png", content.getvalue())

    def save_json(self, shown: Any, tab: Any, *settings: Any) -> dict[str, str]:
        """Return all results as a JSON file for the browser to save."""
        results = require_shown(shown).results
        record = full_record(self.tabs, results, read_settings(*settings))
        content = json.dumps(record, ensure_ascii=False, indent=2)
        return _download(f"{_image_stem(results)}.json", "application/json", content.encode())

    def copy_python(self, shown: Any, tab: Any, *settings: Any) -> tuple[dict[str, str], str]:
        """Return Python code that computes the results of a tab, for the clipboard and as HTML."""
        lines = self._tab(tab).python(require_shown(shown).results, read_settings(*settings))
        return _copied("\n".join(lines))

    def copy_command(self, shown: Any, tab: Any, *settings: Any) -> tuple[dict[str, str], str]:
        """Return the command that computes the results of a tab, likewise."""
        words = self._tab(tab).command(require_shown(shown).results, read_settings(*settings))
        return _copied(shlex.join(words))

    def _tab(self, tab: Any) -> Tab:
        return self.tabs[read_choice(tab, "the tab", tuple(self.tabs))]


def full_record(tabs: Mapping[str, Tab], results: Results, settings: Settings) -> dict[str, Any]:
    """Return everything that the page shows of the image, ready for JSON.

    Results that the visitor has not asked for (words, attention, masks) are left out.

    Raises:
        InputError: if the page shows no result.
    """
    record: dict[str, Any] = {}
    for tab in tabs.values():
        record |= tab.record(results, settings)
    if not record:
        require_session(results)
    return record


def _image_stem(results: Results) -> str:
    """Name of the image without its ending."""
    images = (
        getattr(result, "image", None) for result in (results.session, *results.by_tab.values())
    )
    names = (getattr(image, "name", None) for image in images)
    return next((PurePath(name).stem for name in names if isinstance(name, str)), "results")


def _download(name: str, media_type: str, content: bytes) -> dict[str, str]:
    """A file in the form that the script `SAVE` takes."""
    return {"name": name, "content": file_link(content, media_type)}


def _copied(text: str) -> tuple[dict[str, str], str]:
    return {"text": text}, code(text)
