"""A folder that keeps the results of the finished parts of an evaluation.

`journal.json` describes the evaluation, and `00012.part` contains the partial result of part 12.
Every file is written under a temporary name and renamed after it has reached the disk. A run that
is killed therefore leaves complete parts only, and the next run continues with the missing ones.

A part begins with one line that records the evaluation, the number of the part and the SHA-256
digest of its content. A part that was copied, renamed, damaged or taken from the journal of
another evaluation is recognised by this line and evaluated again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import PARTIAL, name_when_whole, writing_atomically

FORMAT = "clip-surgery journal 2"
PART_FORMAT = "clip-surgery part 1"
HEADER = "journal.json"
_PART_NAME = re.compile(r"\d{5,}\.part")


class DamagedPartError(InputError):
    """A part of a journal is damaged, or belongs to another part or evaluation."""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The finished parts of one evaluation, by number.

    Attributes:
        folder: the folder of the journal.
        part_size: number of images in a part.
        evaluation: digest of the evaluation that the parts belong to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     journal = Journal.open(folder, {"dataset": "squares"}, part_size=16)
        ...     journal.write(3, b"result")
        ...     journal.read(3), journal.read(4)
        (b'result', None)
    """

    folder: Path
    part_size: int
    evaluation: str

    @classmethod
    def open(cls, folder: str | Path, identity: Mapping[str, str], *, part_size: int) -> Self:
        """Create a journal in an empty or new folder, or open the journal of this evaluation.

        Args:
            folder: the folder of the journal; it is created if it does not exist.
            identity: everything that must be equal in two runs so that their parts can be combined.
            part_size: number of images in a part. An existing journal keeps its own part size.

        Raises:
            InputError: if the folder contains the journal of another evaluation (the message lists
                the differences) or other files, or if it cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in folder.iterdir() if not path.name.endswith(PARTIAL)]
        except (OSError, ValueError) as error:  # ValueError: the path contains NUL
            raise InputError(f"{folder}: a journal cannot be kept here ({error}).") from error
        if HEADER in names:
            part_size = _check_header(folder / HEADER, identity)
        elif names:
            raise InputError(
                f"{folder}: expected a journal or an empty folder, but it contains {min(names)}."
            )
        else:
            header = {"format": FORMAT, "part_size": part_size, "identity": dict(identity)}
            write_durably(folder / HEADER, (json.dumps(header, indent=1) + "\n").encode())
        return cls(folder=folder, part_size=part_size, evaluation=_digest(identity, part_size))

    def path(self, number: int) -> Path:
        """Return the file of a part, whether or not it exists."""
        return self.folder / f"{number:05}.part"

    def write(self, number: int, content: bytes) -> None:
        """Store the content of a part.

        Raises:
            InputError: if the file cannot be written.
        """
        write_durably(self.path(number), self._first_line(number, content) + content)

    def read(self, number: int) -> bytes | None:
        """Return the content of a part, or None if the part has not been stored.

        Raises:
            DamagedPartError: if the file is damaged, or was written for another part or evaluation.
            InputError: if the file exists and cannot be read.
        """
        path = self.path(number)
        try:
            first_line, newline, content = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
        if first_line + newline != self._first_line(number, content):
            raise DamagedPartError(
                f"{path}: expected part {number} of this evaluation, unchanged, but the file is "
                "damaged or was written for another part or evaluation."
            )
        return content

    def _first_line(self, number: int, content: bytes) -> bytes:
        """The line before the content: format, evaluation, number and digest of the content."""
        line = f"{PART_FORMAT} {self.evaluation} {number} {sha256(content).hexdigest()}\n"
        return line.encode()


def clear_journal(folder: Path) -> None:
    """Remove the files of a journal, but neither the folder nor any other file in it.

    The header is removed last, so that an interrupted removal leaves a journal that can be opened.

    Raises:
        InputError: if a file cannot be removed.
    """
    header = folder / HEADER
    try:
        if header.is_file() and not _is_of_another_program(header.read_bytes()):
            for path in folder.iterdir():
                final_name = name_when_whole(path.name)
                if final_name == HEADER or _PART_NAME.fullmatch(final_name or path.name):
                    path.unlink()
            header.unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot be emptied ({error.strerror}).") from error


def remove_journal(folder: Path) -> None:
    """Remove the files of a journal, and the folder if nothing else is in it.

    Raises:
        InputError: if the journal cannot be removed.
    """
    clear_journal(folder)
    try:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise InputError(f"{folder}: cannot be removed ({error.strerror}).") from error


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that is complete or absent, even after a power failure.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        with writing_atomically(path, durable=True) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


def _digest(identity: Mapping[str, str], part_size: int) -> str:
    """A digest that differs between evaluations, and between part sizes of one evaluation."""
    text = json.dumps([dict(identity), part_size], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


def _is_of_another_program(header: bytes) -> bool:
    """Whether the header is valid JSON of another format. A damaged header may be a journal's."""
    try:
        entry = json.loads(header)
    except RecursionError:  # JSON that is nested too deeply was not written by this program
        return True
    except ValueError:
        return False
    header_format = entry.get("format") if isinstance(entry, dict) else None
    return not (isinstance(header_format, str) and header_format.startswith("clip-surgery journal"))


def _check_header(path: Path, identity: Mapping[str, str]) -> int:
    """Return the part size in a header, or raise an error if it describes another evaluation."""
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        header_format, part_size = header["format"], int(header["part_size"])
        stored = dict(header["identity"])
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: expected the header of a journal, but {error!r}.") from error
    if header_format != FORMAT or part_size < 1:
        raise InputError(
            f"{path}: expected format {FORMAT!r} and a part size of at least 1, but got "
            f"{header_format!r} and {part_size}."
        )
    differences = [
        f"{name} was {stored.get(name)}, is {identity.get(name)}"
        for name in {**stored, **identity}
        if stored.get(name) != identity.get(name)
    ]
    if differences:
        raise InputError(
            f"{path.parent}: this journal is of another evaluation: {'; '.join(differences)}. "
            "Choose another folder, or remove this one."
        )
    return part_size
