"""Layout: is a data set's folder what the loader reads, and if not, what is missing and whence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip_surgery.errors import InputError, UnknownNameError


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a data set's folder must hold.

    Attributes:
        dataset: what messages call it.
        source: where to get it: an address, and what to unpack.
        paths: files and folders below the root; one with `*` needs at least one match.
    """

    dataset: str
    source: str
    paths: tuple[str, ...]

    def check(self, root: Path) -> None:
        """Make sure that all of it is there.

        Raises:
            InputError: lists what is missing below `root`, and where to get it.

        Example:
            >>> Layout(dataset="Cats", source="cats.zip of example.org", paths=("a", "b")).check(
            ...     Path("none")
            ... )
            Traceback (most recent call last):
            clip_surgery.errors.InputError: none: no such folder. Expected a, b (Cats: cats.zip of
            example.org).
        """
        if not root.is_dir():
            raise InputError(f"{root}: no such folder. {self._expected(self.paths)}")
        missing = [path for path in self.paths if not self._found(root, path)]
        if missing:
            raise InputError(f"{root}: incomplete. {self._expected(missing)}")

    def _expected(self, paths: Sequence[str]) -> str:
        return f"Expected {', '.join(paths)} ({self.dataset}: {self.source})."

    @staticmethod
    def _found(root: Path, path: str) -> bool:
        return any(root.glob(path)) if "*" in path else (root / path).exists()


def first_folder(root: str | Path, *places: str) -> str:
    """The first of these places below `root` that is a folder; the last one where none is.

    Checking the layout then says what is missing there. `.` is `root` itself.

    Example:
        >>> first_folder("none", "VOCdevkit/VOC2012", "VOC2012", ".")
        '.'
    """
    return next((place for place in places if (Path(root) / place).is_dir()), places[-1])


def check_choice(setting: str, value: str, choices: Sequence[str]) -> None:
    """Make sure that a setting has one of its values, such as a split that the data set has.

    Raises:
        UnknownNameError: lists them.

    Example:
        >>> check_choice("split", "test", ("train", "val"))
        Traceback (most recent call last):
        clip_surgery.errors.UnknownNameError: Unknown split 'test'. Known: train, val.
    """
    if value not in choices:
        raise UnknownNameError.among(setting, str(value), choices)
