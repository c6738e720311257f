"""Explaining many pictures: a bad one is told and skipped, what is done is on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clip_surgery.apps.cli import console
from clip_surgery.apps.cli.writing import Outputs
from clip_surgery.backbones.text_features import TextFeatures
from clip_surgery.errors import ClipSurgeryError, InputError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import Picture, read_image
from clip_surgery.outputs.records import Record, records


@dataclass(kw_only=True)
class Run:
    """One pass over pictures.

    Attributes:
        explainer: the model with its method.
        features: the texts.
        outputs: where results are written.
        skipped: how many pictures could not be used.
        records: what was found in the others.
    """

    explainer: Explainer
    features: TextFeatures
    outputs: Outputs
    skipped: int = 0
    records: list[Record] = field(default_factory=list)

    def explain(self, paths: Sequence[Path]) -> None:
        """Explain pictures batch by batch, and write each batch before the next is read."""
        size = self.explainer.batch_size
        with console.progress("explaining", total=len(paths)) as advance:
            for start in range(0, len(paths), size):
                pictures = []
                for path in paths[start : start + size]:
                    with self._skipping():
                        pictures.append(read_image(path))
                if pictures:
                    self._batch(pictures)
                advance(len(paths[start : start + size]))

    def _batch(self, pictures: Sequence[Picture]) -> None:
        try:
            explanation = self._explanation(pictures)
        except UnsupportedModelError:  # no picture would fare better
            raise
        except ClipSurgeryError as error:
            if len(pictures) == 1:
                self._skip(error)
            else:  # one of them is bad, or all together are too large
                for picture in pictures:
                    self._batch([picture])
            return
        for picture, part in zip(pictures, explanation, strict=True):
            with self._skipping():
                self.outputs.write(picture, part)
                self.records.extend(records(part))

    def _explanation(self, pictures: Sequence[Picture]) -> Explanation:
        try:
            return self.explainer.explain_pictures(pictures, self.features)
        except (MemoryError, RuntimeError) as error:
            text = str(error).lower()
            if "out of memory" not in text and "allocate memory" not in text:
                raise
            raise InputError(
                f"{pictures[0].name}: out of memory; try a smaller --size or another --device."
            ) from error

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        try:
            yield
        except ClipSurgeryError as error:
            self._skip(error)

    def _skip(self, error: ClipSurgeryError) -> None:
        console.error(" ".join(str(error).split()))
        self.skipped += 1
