"""The loop over the images of a command.

Images are read and explained batch by batch, and the results of a batch are written before the
next one is read. An image that cannot be used is reported and skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.output_files import JsonLines, OutputFolder
from clip_surgery.apps.cli.shared.output_formats import Format, ImageResult, read_formats
from clip_surgery.apps.cli.shared.output_options import STANDARD_OUTPUT, OutputOptions
from clip_surgery.apps.cli.shared.request import Request
from clip_surgery.apps.cli.shared.tables import Column, show_files, show_rows
from clip_surgery.batch_splitting import is_out_of_memory, out_of_memory_error, results_or_errors
from clip_surgery.errors import ClipSurgeryError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import MAX_PIXELS, InputImage, read_image
from clip_surgery.text.features import TextFeatures

Computed = TypeVar("Computed")
"""What a command computes for one image, such as an `Explanation`."""


@dataclass(kw_only=True)
class ImageLoop:
    """One run of a command over images.

    Attributes:
        outputs: where results are written.
        max_pixels: maximum number of pixels of an image.
        skipped: number of images that could not be used.
        done: number of images whose results were written.
        rows: rows of the table that is printed at the end, each beginning with the image's name.
    """

    outputs: OutputFolder | JsonLines
    max_pixels: int
    skipped: int = 0
    done: int = 0
    rows: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        command: str,
        request: Request,
        options: OutputOptions,
        formats: Sequence[str] | None,
        *,
        known: Sequence[Format],
        default: Sequence[Format] | None = None,
    ) -> ImageLoop:
        """Check formats and folder before any long work.

        Args:
            command: name of the command, which is part of the names of its files.
            request: the images and texts that the command was called with.
            options: where results are written.
            formats: values of the option --format; None if it was not given.
            known: formats that the command can write.
            default: formats that it writes if none is given; all that are known if None.

        Raises:
            UnknownNameError: for a format that is not among the known.
            InputError: if the folder cannot be made.
        """
        outputs: OutputFolder | JsonLines
        if str(options.out) == STANDARD_OUTPUT:
            outputs = JsonLines(read_formats(formats, known) if formats else [])
        else:
            outputs = OutputFolder(
                folder=options.out,
                command=command,
                formats=read_formats(formats, known) if formats else tuple(default or known),
                inputs=request.images,
                overwrite=options.overwrite,
            )
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
        to_result: Callable[[InputImage, Explanation], ImageResult],
    ) -> None:
        """Explain images for texts in batches, and write what `to_result` makes of each."""

        def explain_batch(images: Sequence[InputImage]) -> Explanation:
            return explainer.explain_images(images, features)

        self.run(paths, explain_batch, to_result, batch_size=explainer.batch_size)

    def run(
        self,
        paths: Sequence[Path],
        compute: Callable[[Sequence[InputImage]], Iterable[Computed]],
        to_result: Callable[[InputImage, Computed], ImageResult],
        *,
        batch_size: int = 1,
    ) -> None:
        """Read images in batches, compute, and write the results of each batch.

        Args:
            paths: files of the images.
            compute: returns one value for each image of a batch.
            to_result: returns the results to write for an image and its value.
            batch_size: number of images in a batch.
        """
        try:
            with console.progress("explaining", total=len(paths)) as advance:
                for start in range(0, len(paths), batch_size):
                    batch = paths[start : start + batch_size]
                    images = []
                    for path in batch:
                        with self._skip_on_error():
                            images.append(read_image(path, max_pixels=self.max_pixels))
                    if images:
                        self._run_batch(images, compute, to_result)
                    advance(len(batch))
        finally:  # what is done is kept, also if a later image stops the run
            self.outputs.finish()

    def _run_batch(
        self,
        images: Sequence[InputImage],
        compute: Callable[[Sequence[InputImage]], Iterable[Computed]],
        to_result: Callable[[InputImage, Computed], ImageResult],
    ) -> None:
        computed = results_or_errors(compute, images, errors=(ClipSurgeryError,))
        for image, value in zip(images, computed, strict=True):
            with self._skip_on_error(), _out_of_memory_as_input_error(image.name):
                if isinstance(value, Exception):
                    raise value
                result = to_result(image, value)
                self.outputs.write(image.name, result)
                self.done += 1
                self.rows.extend((image.name, *row) for row in result.rows)

    def finish(self, columns: Sequence[Column], *, notes: Sequence[str] = ()) -> None:
        """Print the table of results and where the files are.

        Args:
            columns: titles of the columns behind the image's name.
            notes: lines below the table that explain its numbers.

        Raises:
            typer.Exit: with 2 if no image could be used, with 1 if some could not.
        """
        if not self.done:
            raise typer.Exit(2)
        if isinstance(self.outputs, OutputFolder):
            show_rows(("image", *columns), self.rows)
            for note in notes:
                console.result(note)
            show_files(self.outputs, skipped=self.skipped)
        if self.skipped:
            raise typer.Exit(1)

    @contextmanager
    def _skip_on_error(self) -> Iterator[None]:
        try:
            yield
        except ClipSurgeryError as error:
            self._skip(error)

    def _skip(self, error: ClipSurgeryError) -> None:
        console.error(" ".join(str(error).split()))
        self.skipped += 1


@contextmanager
def _out_of_memory_as_input_error(image: str) -> Iterator[None]:
    """Turn an error of memory that does not suffice into one that names the image."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory_error(image) from error
