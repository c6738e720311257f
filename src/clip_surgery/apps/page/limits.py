"""Limits: what one visitor may ask of the page, so that all others are served too."""

from __future__ import annotations

from dataclasses import dataclass, fields

from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, and how long things are kept.

    Attributes:
        file_mb: largest file that is taken, in MB.
        megapixels: largest picture that is unpacked, in millions of pixels.
        side: longer side in pixels that larger pictures are brought to; answers are in its pixels.
        words: how many words are looked for at once.
        letters: of a word or a sentence.
        waiting: requests that wait for the model; one more is refused.
        visitors: of how many visitors the last answer is kept.
        minutes: how long it is kept, and uploaded files.

    Raises:
        InputError: when one is below 1.
    """

    file_mb: int = 20
    megapixels: int = 50
    side: int = 2048
    words: int = 24
    letters: int = 300
    waiting: int = 32
    visitors: int = 100
    minutes: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise InputError(
                    f"Expected {field.name} of at least 1, but got {getattr(self, field.name)}."
                )
