"""Explaining many images: a bad one is told and skipped, what is done is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.output_files import Format, Outputs, Writer, read_formats
from clip_surgery.apps.cli.shared.request import Request
from clip_surgery.apps.cli.shared.tables import Column, show_files, show_rows
from clip_surgery.errors import ClipSurgeryError, InputError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import MAX_PIXELS, InputImage, read_image
from clip_surgery.text.features import TextFeatures

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one image gave.

    Attributes:
        files: how each kind of file is written.
        rows: of the table that is shown at the end, without the image's name.
    """

    files: Mapping[Format, Writer]
    rows: Sequence[Sequence[str]]


@dataclass(kw_only=True)
class Run:
    """One pass over images.

    Attributes:
        outputs: where results are written.
        max_pixels: maximum number of pixels of an image.
        skipped: how many images could not be used.
        answered: how many could.
        rows: what was found in them, to be shown.
    """

    outputs: Outputs
    max_pixels: int
    skipped: int = 0
    answered: int = 0
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        command: str,
        request: Request,
        folder: Path,
        formats: Sequence[str],
        known: Sequence[Format],
    ) -> Run:
        """A run over the images of a request, its folder made.

        Raises:
            UnknownNameError: for a format that is not among the known.
            InputError: when the folder cannot be made.
        """
        kinds = read_formats(formats, known)
        outputs = Outputs(folder=folder, command=command, formats=kinds, inputs=request.images)
        outputs.prepare()
        return cls(
            outputs=outputs,
            max_pixels=request.max_pixels or MAX_PIXELS,
            skipped=len(request.missing),
        )

    def explain(
        self,
        paths: Sequence[Path],
        explainer: Explainer,
        features: TextFeatures,
        result: Callable[[InputImage, Explanation], Result],
    ) -> None:
        """Explain images for texts in batches, and make of each explanation its result."""

        def find(pictures: Sequence[InputImage]) -> Explanation:
            return explainer.explain_images(pictures, features)

        self.over(paths, find, result, at_a_time=explainer.batch_size)

    def over(
        self,
        paths: Sequence[Path],
        find: Callable[[Sequence[InputImage]], Iterable[Found]],
        result: Callable[[InputImage, Found], Result],
        *,
        at_a_time: int = 1,
    ) -> None:
        """Take images batch by batch, and write each batch before the next is read.

        `find` gives one thing for every image of a batch, `result` makes of it what is written.
        """
        with console.progress("explaining", total=len(paths)) as advance:
            for start in range(0, len(paths), at_a_time):
                part = paths[start : start + at_a_time]
                pictures = []
                for path in part:
                    with self._skipping():
                        pictures.append(read_image(path, max_pixels=self.max_pixels))
                if pictures:
                    self._batch(pictures, find, result)
                advance(len(part))

    def _batch(
        self,
        pictures: Sequence[InputImage],
        find: Callable[[Sequence[InputImage]], Iterable[Found]],
        result: Callable[[InputImage, Found], Result],
    ) -> None:
        try:
            with _memory_named(pictures[0].name):
                found = list(find(pictures))
        except UnsupportedModelError:  # no image would fare better
            raise
        except ClipSurgeryError as error:
            if len(pictures) == 1:
                self._skip(error)
            else:  # one of them is bad, or all together are too large
                for picture in pictures:
                    self._batch([picture], find, result)
            return
        for picture, one in zip(pictures, found, strict=True):
            with self._skipping(), _memory_named(picture.name):
                made = result(picture, one)
                self.outputs.write(picture.name, made.files)
                self.answered += 1
                self.rows.extend((picture.name, *row) for row in made.rows)

    def finish(self, columns: Sequence[Column]) -> None:
        """Show the results as a table, and where the files are.

        Raises:
            typer.Exit: with 2 when no image could be used, with 1 when some could not.
        """
        if self.answered:
            show_rows(("image", *columns), self.rows)
            show_files(self.outputs, skipped=self.skipped)
        if not self.answered:
            raise typer.Exit(2)
        if self.skipped:
            raise typer.Exit(1)

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        try:
            yield
        except ClipSurgeryError as error:
            self._skip(error)

    def _skip(self, error: ClipSurgeryError) -> None:
        console.error(" ".join(str(error).split()))
        self.skipped += 1


@contextmanager
def _memory_named(picture: str) -> Iterator[None]:
    """Tell of memory that does not suffice by the image and a way out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError) and not (
            "out of memory" in text or "allocate memory" in text
        ):
            raise
        raise InputError(
            f"{picture}: out of memory; try a smaller --size or another --device."
        ) from error
