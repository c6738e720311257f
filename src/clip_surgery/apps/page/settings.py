"""How results are drawn: the settings of a visitor that change no run of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from clip_surgery.apps.page.requests import read_choice, read_number
from clip_surgery.figures.overlay import OPACITY
from clip_surgery.tasks.heatmaps import Contrast
from clip_surgery.tasks.segmentation import Background


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings below the results.

    Attributes:
        contrast: how scores become colours.
        opacity: opacity of the maps in [0, 1].
        min_presence: probability below which a text has no points; None to give all of them.
        background: which pixels belong to no text.
    """

    contrast: Contrast = "text"
    opacity: float = OPACITY
    min_presence: float | None = None
    background: Background = "threshold"


CONTRASTS: tuple[Contrast, ...] = ("text", "image", "presence")
"""The contrasts of the page; raw scores are not in [0, 1]."""
DEFAULTS = Settings()
NAMES = ("contrast", "opacity", "min_presence", "background")
"""The settings in the order in which the browser sends them."""
SENTENCES = ("sentence", "why", "rival")
"""Sentences of tabs that the address keeps, by the name of their elements in `Tab.settings`."""


def read_settings(contrast: Any, opacity: Any, min_presence: Any, background: Any) -> Settings:
    """Return the settings that a browser sent, in the order of `NAMES`.

    Raises:
        InputError: if one of them is none of its possible values.
    """
    return Settings(
        contrast=read_contrast(contrast),
        opacity=read_number(opacity, "an opacity", low=0, high=1),
        # With a probability of 0, presence is not checked.
        min_presence=read_number(min_presence, "a probability", low=0, high=1) or None,
        background=read_background(background),
    )


def read_contrast(value: Any) -> Contrast:
    """Return a contrast that a browser sent.

    Raises:
        InputError: if there is no such contrast.
    """
    contrast: Any = read_choice(value, "the contrast", CONTRASTS)
    return contrast  # type: ignore[no-any-return]


def read_background(value: Any) -> Background:
    """Return a rule for the background that a browser sent.

    Raises:
        InputError: if there is no such rule.
    """
    background: Any = read_choice(value, "the rule for pixels", get_args(Background))
    return background  # type: ignore[no-any-return]
