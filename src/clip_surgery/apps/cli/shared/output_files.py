"""Writing: the results of one image to files, each name once."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.storage.atomic_file import replacing_atomically

LONGEST_STEM = 100  # characters of an input's name in the names of its results


class Format(StrEnum):
    """Kinds of files that commands write."""

    PNG = "png"
    MASK = "mask"
    JSON = "json"
    SAFETENSORS = "safetensors"

    @property
    def suffix(self) -> str:
        """How the names of such files end."""
        return ".mask.png" if self is Format.MASK else f".{self}"


Writer = Callable[[Path], object]


def read_formats(given: Sequence[str], known: Collection[Format]) -> tuple[Format, ...]:
    """Formats from options that may each hold a comma list, in order, each once.

    Raises:
        UnknownNameError: for an unknown format.

    Example:
        >>> [format.value for format in read_formats(["png,json", "png"], list(Format))]
        ['png', 'json']
    """
    formats: dict[Format, None] = {}
    for name in ",".join(given).lower().split(","):
        if name.strip() not in known:
            raise UnknownNameError.among("format", name.strip(), [f.value for f in known])
        formats[Format(name.strip())] = None
    return tuple(formats)


def json_writer(record: object) -> Writer:
    """Writes a record for people and programs to read."""

    def write(path: Path) -> None:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")

    return write


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """A folder that results are written to.

    Attributes:
        folder: where files are written.
        command: name of the command, which is part of all file names, so that the results of one
            command never replace those of another.
        formats: the kinds of files for each image.
        inputs: paths of the input images, which no result may replace.
        written: paths of the files written so far.
        replaced: those of them that replaced a file of an earlier run.
    """

    folder: Path
    command: str
    formats: tuple[Format, ...]
    inputs: Collection[Path] = ()
    written: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the folder, before any long work.

        Raises:
            InputError: when it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be the folder for results ({error.strerror})."
            ) from error

    def write(self, name: str, files: Mapping[Format, Writer]) -> None:
        """Write the files of one image, called by its name, in all formats asked for.

        Raises:
            InputError: when a file cannot be written.
        """
        stem = self._free_stem(f"{Path(name).stem[:LONGEST_STEM]}.{self.command}")
        for kind in self.formats:
            path = self.folder / f"{stem}{kind.suffix}"
            existed = path.exists()
            try:
                with replacing_atomically(path) as temporary:
                    files[kind](temporary)
            except OSError as error:
                reason = error.strerror or error
                raise InputError(f"{path}: cannot be written ({reason}).") from error
            self.written.append(path)
            if existed:
                self.replaced.append(path)

    def _free_stem(self, wanted: str) -> str:
        """Return a file name stem that no other image of this run uses, ignoring letter case.

        Images of the same name from different folders get the endings "-2", "-3" and so on. The
        name of an input image in the same folder is not used either.
        """
        inputs = [path for path in self.inputs if path.parent.resolve() == self.folder.resolve()]
        taken = {path.name.casefold() for path in (*inputs, *self.written)}
        for number in count(1):
            stem = wanted if number == 1 else f"{wanted}-{number}"
            names = {f"{stem}{kind.suffix}".casefold() for kind in self.formats}
            if not names & taken:
                return stem
        raise AssertionError("count never ends")
