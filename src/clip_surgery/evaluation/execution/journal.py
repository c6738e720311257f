"""Journal: a folder that keeps every part of an evaluation as it is done.

`journal.json` says which evaluation it is; `00012.part` is what was measured on part 12. A file
appears by being renamed into place after it has reached the disk, so whenever a run is killed,
each part is there as a whole or not at all, and the next run goes on with the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import PARTIAL, name_when_whole, writing_atomically

FORMAT = "clip-surgery journal 1"
HEADER = "journal.json"
_PART = re.compile(r"\d{5,}\.part")


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The parts done so far, by number.

    Attributes:
        folder: where they are.
        part_size: images a part.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal.open(folder, {"dataset": "squares"}, part_size=16)
        ...     journal.write(3, b"measured")
        ...     journal.read(3), journal.read(4)
        (b'measured', None)
    """

    folder: Path
    part_size: int

    @classmethod
    def open(cls, folder: str | Path, identity: Mapping[str, str], *, part_size: int) -> Self:
        """Begin a journal in an empty or new folder, or go on with the one of this evaluation.

        The size of its parts is that of the run which began it.

        Raises:
            InputError: when the folder holds another evaluation (the message says what differs)
                or other files, or cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            others = [p.name for p in folder.iterdir() if not p.name.endswith(PARTIAL)]
        except OSError as error:
            raise InputError(f"{folder}: no journal can be kept here ({error}).") from error
        if HEADER in others:
            return cls(folder=folder, part_size=_check_header(folder / HEADER, identity))
        if others:
            raise InputError(
                f"{folder}: expected a journal or an empty folder, but it holds {min(others)}."
            )
        header = {"format": FORMAT, "part_size": part_size, "identity": dict(identity)}
        write_whole(folder / HEADER, (json.dumps(header, indent=1) + "\n").encode())
        return cls(folder=folder, part_size=part_size)

    def path(self, number: int) -> Path:
        """The file of a part, whether or not it is there."""
        return self.folder / f"{number:05}.part"

    def write(self, number: int, content: bytes) -> None:
        """Keep a part.

        Raises:
            InputError: when it cannot be written.
        """
        write_whole(self.path(number), content)

    def read(self, number: int) -> bytes | None:
        """What was kept of a part, None where nothing was.

        Raises:
            InputError: when it is there and cannot be read.
        """
        try:
            return self.path(number).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self.path(number)}: cannot be read ({error.strerror}).") from error


def clear_journal(folder: Path) -> None:
    """Remove the files of a journal; the folder stays, and what is no journal.

    The header goes last: what is left when this is stopped is a journal that can be gone on with.

    Raises:
        InputError: when one cannot be removed.
    """
    header = folder / HEADER
    try:
        if header.is_file() and not _is_of_another_program(header.read_bytes()):
            for path in folder.iterdir():
                unfinished = name_when_whole(path.name)
                if unfinished == HEADER or _PART.fullmatch(unfinished or path.name):
                    path.unlink()
            header.unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot be emptied ({error.strerror}).") from error


def remove_journal(folder: Path) -> None:
    """Remove a journal, and its folder if nothing else is in it; what is no journal stays.

    Raises:
        InputError: when it cannot be removed.
    """
    clear_journal(folder)
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise InputError(f"{folder}: cannot be removed ({error.strerror}).") from error


def _is_of_another_program(header: bytes) -> bool:
    """Whether this is a good JSON file, but no journal's header; a damaged one may be ours."""
    try:
        entry = json.loads(header)
    except ValueError:
        return False
    kind = entry.get("format") if isinstance(entry, dict) else None
    return not (isinstance(kind, str) and kind.startswith("clip-surgery journal"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, also after the power has failed.

    Raises:
        InputError: when it cannot be written.
    """
    try:
        with writing_atomically(path, durable=True) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


def _check_header(path: Path, identity: Mapping[str, str]) -> int:
    """The size of parts, when the header is of this evaluation."""
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        kind, size, kept = header["format"], int(header["part_size"]), dict(header["identity"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: expected a journal's header, but {error!r}.") from error
    if kind != FORMAT or size < 1:
        raise InputError(f"{path}: expected {FORMAT!r}, but got {kind!r} in parts of {size}.")
    differing = [
        f"{name} was {kept.get(name)}, is {identity.get(name)}"
        for name in {**kept, **identity}
        if kept.get(name) != identity.get(name)
    ]
    if differing:
        raise InputError(
            f"{path.parent}: this journal is of another evaluation: {'; '.join(differing)}. "
            "Name another folder, or remove this one."
        )
    return size
