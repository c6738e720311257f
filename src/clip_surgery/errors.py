"""The exceptions and warnings of this library.

Each exception is also a subclass of the built-in type that fits, so that `except ValueError` works.
A message says what was expected, what was given instead, and in which file.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ClipSurgeryError(Exception):
    """Base class of all errors of this library; the message is one line for the user."""


class InputError(ClipSurgeryError, ValueError):
    """An image, text, setting or file that cannot be used."""


class UnknownNameError(InputError):
    """A name (of a method, model, template set, ...) that is not registered."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Return the error for an unknown name, with the most similar names and all known names.

        Args:
            kind: kind of the name, for example "method".
            name: the unknown name.
            known: all known names.

        Example:
            >>> str(UnknownNameError.among("method", "clip_surgary", ["clip_surgery", "gem"]))
            "Unknown method 'clip_surgary'. Did you mean 'clip_surgery'? Known: clip_surgery, gem."
        """
        names = sorted(known)
        near = get_close_matches(name, names, n=3)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        return cls(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")


class UnsupportedModelError(ClipSurgeryError, TypeError):
    """A model whose parts cannot be read, or that lacks a part that a method needs.

    Attributes:
        purpose: what the part is needed for, for example the name of a method; None if unknown.
        part: the part that is missing, for example "class token"; None if unknown.
        alternatives: names of methods that support the model.
        problem: what is wrong, without the alternatives; the whole message if not given.
    """

    def __init__(
        self,
        message: str,
        *,
        purpose: str | None = None,
        part: str | None = None,
        alternatives: tuple[str, ...] = (),
        problem: str | None = None,
    ) -> None:
        super().__init__(message)
        self.purpose, self.part, self.alternatives = purpose, part, alternatives
        self.problem = message if problem is None else problem


class FewTextsWarning(UserWarning):
    """The only two texts are compared with each other, so that their maps are mirror images."""


class WeightsError(ClipSurgeryError, OSError):
    """Weights that are missing, cannot be downloaded, are damaged or not finite."""


class MissingExtraError(ClipSurgeryError, ImportError):
    """An optional library that is not installed; the message has the pip command."""

    @classmethod
    def of(cls, extra: str, library: str) -> MissingExtraError:
        """Return the error for a library that `pip install clip-surgery[extra]` installs.

        Example:
            >>> str(MissingExtraError.of("transformers", "transformers"))
            "transformers is not installed: pip install 'clip-surgery[transformers]'"
        """
        return cls(f"{library} is not installed: pip install 'clip-surgery[{extra}]'")
