"""Where the results of one run go: a folder of files, or JSON lines on standard output."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.output_formats import Format, ImageResult, Writer, json_writer
from clip_surgery.apps.cli.shared.output_options import STANDARD_OUTPUT
from clip_surgery.apps.cli.shared.run_results import RunResults
from clip_surgery.apps.cli.shared.source_records import (
    FIELD,
    record_source,
    recorded_source,
    run_source,
    source_id,
)
from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import replacing_atomically

LONGEST_STEM = 100  # characters of an input's name in the names of its results


class JsonLines:
    """Results as JSON on standard output, one line per image.

    Args:
        formats: the formats that were asked for.

    Raises:
        InputError: if another format than JSON was asked for.
    """

    def __init__(self, formats: Sequence[Format]) -> None:
        others = [kind.value for kind in formats if kind is not Format.JSON]
        if others:
            raise InputError(
                f"Expected --format json with --out {STANDARD_OUTPUT}, but got {others[0]}."
            )

    def write(self, image: str, result: ImageResult) -> None:
        """Print the record of one image."""
        del image  # its name is part of the record
        console.json_line(result.record)

    def finish(self) -> None:
        """Do nothing: each line was printed when its image was done."""


@dataclass(kw_only=True)
class OutputFolder:
    """A folder of result files.

    A result file replaces an earlier result of the same command for the same image. If there is a
    file of the same name that holds anything else, the results get the endings "-2", "-3" and so
    on, unless `overwrite` is set. Input images are never replaced.

    Attributes:
        folder: where files are written.
        command: name of the command, which is part of all file names, so that the results of one
            command never replace those of another.
        formats: the formats that are written for each image.
        inputs: paths of the input images.
        overwrite: replace files of the same name whatever they hold.
        written: paths of the files written so far.
        replaced: those of them that replaced a file.
        renamed: those that have another name than they would have in an empty folder, because a
            file of that name was there before this run.
    """

    folder: Path
    command: str
    formats: tuple[Format, ...]
    inputs: Collection[Path] = ()
    overwrite: bool = False
    written: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        folder = self.folder.resolve()
        # Names are compared without letter case, since some file systems ignore it.
        self._taken = {
            path.name.casefold() for path in self.inputs if path.parent.resolve() == folder
        }
        self._run = RunResults(
            with_lines=Format.JSONL in self.formats, with_cards=Format.HTML in self.formats
        )

    def prepare(self) -> None:
        """Make the folder before any long work.

        Raises:
            InputError: if it cannot be made.
        """
        make_folder(self.folder)

    def write(self, image: str, result: ImageResult) -> None:
        """Write the results for one image in all formats.

        Args:
            image: the path of the image.
            result: what is written.

        Raises:
            InputError: if a file cannot be written.
        """
        source = source_id(image)
        self._run.add(image, result.record, result.html_card)
        writers = {**result.files, Format.JSON: json_writer({**result.record, FIELD: source})}
        files: dict[str, Writer] = {}  # the writer of each file, by how its name ends
        for kind in self.formats:
            if kind is Format.OVERLAYS:
                files.update({f".{part}.png": write for part, write in result.overlays.items()})
            elif not kind.is_for_run:
                files[kind.suffix] = writers[kind]
        self._write_all(f"{Path(image).stem[:LONGEST_STEM]}.{self.command}", files, source)

    def finish(self) -> None:
        """Write the files that hold the results of all images.

        Raises:
            InputError: if a file cannot be written.
        """
        if self._run.sources:
            files = {
                kind.suffix: self._run.writers(self.command)[kind.value]
                for kind in self.formats
                if kind.is_for_run
            }
            self._write_all(self.command, files, run_source(self._run.sources))

    def _write_all(self, stem: str, files: Mapping[str, Writer], source: str) -> None:
        """Write files of one name with different endings, and record their source in them."""
        for suffix, path in self._paths(stem, list(files), source).items():
            existed = path.exists()
            try:
                with replacing_atomically(path) as temporary:
                    files[suffix](temporary)
                    record_source(temporary, source)
            except OSError as error:
                reason = error.strerror or error
                raise InputError(f"{path}: cannot be written ({reason}).") from error
            self._taken.add(path.name.casefold())
            self.written.append(path)
            if existed:
                self.replaced.append(path)

    def _paths(self, stem: str, suffixes: Sequence[str], source: str) -> dict[str, Path]:
        """The path of each ending, with the first number for which all names are free."""
        is_blocked = False
        for number in count(1):
            numbered = stem if number == 1 else f"{stem}-{number}"
            paths = {suffix: self.folder / f"{numbered}{suffix}" for suffix in suffixes}
            if any(path.name.casefold() in self._taken for path in paths.values()):
                continue
            # A file of another format counts too: all files of one name belong to one image.
            others = [self.folder / f"{numbered}{kind.suffix}" for kind in Format]
            if self.overwrite or all(_is_free(path, source) for path in (*paths.values(), *others)):
                break
            is_blocked = True
        if is_blocked:
            self.renamed.extend(paths.values())
        return paths


def _is_free(path: Path, source: str) -> bool:
    """Whether a file may be written: none is there, or one with results for the same image."""
    return not path.exists() or recorded_source(path) == source


def make_folder(folder: Path) -> None:
    """Make a folder for results if it does not exist.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be the folder for results ({error.strerror})."
        ) from error
