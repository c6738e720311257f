"""The check that the folder of a data set is complete, with messages that say what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.inputs.names import printable


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files and folders that the folder of a data set must contain.

    Attributes:
        dataset: name of the data set in messages.
        source: where to get the data set: an address, and what to unpack.
        paths: files and folders relative to the root. A path with `*` needs at least one match.
    """

    dataset: str
    source: str
    paths: tuple[str, ...]

    def check(self, root: Path) -> None:
        """Check that all paths exist.

        Raises:
            InputError: if paths are missing; the message lists them and says where to get them.

        Example:
            >>> Layout(dataset="Cats", source="cats.zip of example.org", paths=("a", "b")).check(
            ...     Path("none")
            ... )
            Traceback (most recent call last):
            clip_surgery.errors.InputError: none: no such folder. Expected a, b (Cats: cats.zip of
            example.org).
        """
        if not is_folder(root):
            raise InputError(f"{printable(root)}: no such folder. {self._expected(self.paths)}")
        missing = [path for path in self.paths if not self._exists(root, path)]
        if missing:
            raise InputError(f"{printable(root)}: incomplete. {self._expected(missing)}")

    def _expected(self, paths: Sequence[str]) -> str:
        return f"Expected {', '.join(paths)} ({self.dataset}: {self.source})."

    @staticmethod
    def _exists(root: Path, path: str) -> bool:
        try:
            return any(root.glob(path)) if "*" in path else (root / path).exists()
        except (OSError, ValueError):  # a name that is too long or contains NUL
            return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder. Names that cannot exist or be accessed are none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long or contains NUL
        return False


def first_folder(root: str | Path, *candidates: str) -> str:
    """Return the first candidate that is a folder, or the last candidate if none is.

    In the latter case the check of the layout reports what is missing there.

    Args:
        root: the folder of the data set.
        candidates: paths relative to `root`; `.` is `root` itself.

    Example:
        >>> first_folder("none", "VOCdevkit/VOC2012", "VOC2012", ".")
        '.'
    """
    return next(
        (candidate for candidate in candidates if is_folder(Path(root) / candidate)),
        candidates[-1],
    )


def check_choice(setting: str, value: str, choices: Sequence[str]) -> None:
    """Check that a setting has one of its possible values.

    Args:
        setting: name of the setting in the error message.
        value: the value that was given.
        choices: the possible values.

    Raises:
        UnknownNameError: if the value is not one of them; the message lists them.

    Example:
        >>> check_choice("split", "test", ("train", "val"))
        Traceback (most recent call last):
        clip_surgery.errors.UnknownNameError: Unknown split 'test'. Known: train, val.
    """
    if value not in choices:
        raise UnknownNameError.among(setting, str(value), choices)
