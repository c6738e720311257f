"""A loaded model that turns shards of images into files of rows.

The engines differ in how they start workers and distribute shards. What a worker computes for a
shard is defined here only, so the rows do not depend on the engine.

Three steps overlap, each on another part of a shard: threads decode images, one thread runs the
model, and the thread of the caller runs the tasks and writes the rows. So a GPU does not wait for
the processor as long as decoding and tasks each take less time than the model.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from clip_surgery.apps.batch.attempts import ShardAttempt
from clip_surgery.apps.batch.decoding import DecodedImage, decode, prefetch_images, windows
from clip_surgery.apps.batch.feature_index import features_metadata
from clip_surgery.apps.batch.items import Item
from clip_surgery.apps.batch.job import Job, ModelIdentity, feature_identity, model_identity
from clip_surgery.apps.batch.rows import Row, error_row, image_rows, schema, size_row
from clip_surgery.apps.batch.run_ahead import run_ahead
from clip_surgery.apps.batch.shards import FinishedShard, write_shard
from clip_surgery.batch_splitting import is_out_of_memory, out_of_memory_error, results_or_errors
from clip_surgery.errors import ClipSurgeryError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage
from clip_surgery.processes.worker_process import ItemReader
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.tasks.search import unit_features
from clip_surgery.text.features import TextFeatures

_BATCHES_PER_WINDOW = 2  # images of the same frame are batched within a window
_TEXTS_PER_GROUP = 4096
"""Texts times images for which tasks run together, so that the memory of their rows is bounded."""
_KILLED = "the process that reads it dies each time (a broken file, or lack of memory)."


@dataclass(frozen=True, kw_only=True, eq=False)
class _Computed:
    """What the model gives for an image: its explanation and its feature, if tasks need them."""

    explanation: Explanation | None
    feature: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Explained:
    """An image with what the model gives for it, or with the reason why there is nothing."""

    name: str
    image: InputImage | None
    modified: int | None
    result: _Computed | str


@dataclass(frozen=True, kw_only=True)
class ShardRequest:
    """A shard that a worker should compute.

    Attributes:
        shard: number of the shard.
        folder: result folder in which its file is written.
        key: key of the job with this model, from `ResultFolder.check_model`.
    """

    shard: int
    folder: Path
    key: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardWorker:
    """A loaded model with everything it needs to compute shards.

    Attributes:
        job: what to compute.
        explainer: the model.
        features: text features of the job's texts; None if no task needs them.
        segmenter: the segmenter, if the job has one.
        threads: number of threads that decode images in the background.
    """

    job: Job
    explainer: Explainer
    features: TextFeatures | None
    segmenter: Segmenter | None
    threads: int = 2

    @classmethod
    def start(cls, job: Job, *, cores: int, threads: int = 2) -> ShardWorker:
        """Load the model, and check with an empty image that it supports all tasks of the job.

        Args:
            job: what to compute.
            cores: CPU cores that torch may use in this process.
            threads: threads that decode images.

        Raises:
            ClipSurgeryError: if the model cannot be loaded or does not support a task.
        """
        # Do not exceed OMP_NUM_THREADS: threads that wait for a busy core slow everything down.
        torch.set_num_threads(max(1, min(cores, torch.get_num_threads())))
        explainer = job.load()
        worker = cls(
            job=job,
            explainer=explainer,
            features=explainer.encode(job.texts) if job.settings.needs_texts else None,
            segmenter=None if job.segmenter is None else job.segmenter(),
            threads=threads,
        )
        side = explainer.backbone.tower.patch_size * 2
        empty = InputImage(image=Image.new("RGB", (side, side), "grey"), name="an empty image")
        worker._image_rows([(empty, worker._compute([empty])[0])])
        return worker

    @property
    def identity(self) -> ModelIdentity:
        """The properties of the model that the results depend on."""
        return model_identity(self.explainer, self.segmenter)

    @property
    def schema(self) -> Any:
        """The Arrow schema of the rows."""
        row_schema = schema(self.job.settings, segmenter=self.segmenter is not None)
        if "features" in self.job.settings.tasks:
            metadata = features_metadata(feature_identity(self.explainer))
            row_schema = row_schema.with_metadata(metadata)
        return row_schema

    def results(self, read_item: ItemReader) -> Iterator[FinishedShard]:
        """Compute requested shards, and yield each when its file is written."""
        while True:
            yield self.compute(read_item(True))

    def compute(self, request: ShardRequest) -> FinishedShard:
        """Compute the rows of one shard and write its file.

        Raises:
            InputError: if the file cannot be written, or a Parquet file of the source is damaged.
            ClipSurgeryError: if earlier attempts at this shard ended their processes too often.
            UnsupportedModelError: if the model lacks a part that every image needs.
        """
        attempt = ShardAttempt.begin(request.folder, request.shard)
        with closing(self._row_groups(request.shard, attempt)) as row_groups:
            finished = write_shard(
                request.folder, request.shard, row_groups, row_schema=self.schema, key=request.key
            )
        attempt.end()
        return finished

    def _row_groups(self, shard: int, attempt: ShardAttempt) -> Generator[list[Row]]:
        indices = self.job.image_range(shard)
        items = self.job.source.items(indices.start, indices.stop)
        if attempt.is_image_by_image:
            yield from self._rows_image_by_image(items, attempt)
            return
        count = _BATCHES_PER_WINDOW * self.explainer.batch_size
        decoded = prefetch_images(items, threads=self.threads)
        explained = (self._explained(window) for window in windows(decoded, count=count))
        with closing(run_ahead(explained, name="model")) as explained_windows:
            for window in explained_windows:
                yield from self._rows_of_window(window)

    def _rows_image_by_image(
        self, items: Iterable[Item], attempt: ShardAttempt
    ) -> Iterator[list[Row]]:
        """The rows of images that are processed alone, so that a bad one is found."""
        for item in items:
            if item.index in attempt.bad:
                yield [error_row(item.name, f"{item.name}: {_KILLED}")]
                continue
            attempt.at_image(item.index)
            yield from self._rows_of_window(self._explained([decode(item)]))

    def _explained(self, window: Sequence[DecodedImage]) -> list[_Explained]:
        """Run the model for the images of a window."""
        readable = [decoded.image for decoded in window if decoded.image is not None]
        results = results_or_errors(self._compute, readable, errors=(Exception,))
        return [
            _Explained(
                name=decoded.item.name,
                image=decoded.image,
                modified=decoded.modified,
                result=(decoded.error or "")
                if decoded.image is None
                else _result_or_reason(next(results), decoded.image.name),
            )
            for decoded in window
        ]

    def _rows_of_window(self, window: Sequence[_Explained]) -> Iterator[list[Row]]:
        """The rows of a window in groups of several images, so that each task runs once a group."""
        size = max(1, _TEXTS_PER_GROUP // max(1, len(self.job.texts)))
        for start in range(0, len(window), size):
            yield self._rows(window[start : start + size])

    def _rows(self, group: Sequence[_Explained]) -> list[Row]:
        """The row of each image with its explanation, or a row with the reason why it failed."""
        usable = [
            (entry.image, entry.result)
            for entry in group
            if entry.image is not None and isinstance(entry.result, _Computed)
        ]
        results = results_or_errors(self._image_rows, usable, errors=(Exception,))
        rows = [
            error_row(entry.name, entry.result)
            if isinstance(entry.result, str)
            else _row_or_error_row(next(results), entry.name)
            for entry in group
        ]
        for row, entry in zip(rows, group, strict=True):
            if row.get("features") is not None:
                row["modified"] = entry.modified
        return rows

    def _image_rows(self, pairs: Sequence[tuple[InputImage, _Computed]]) -> list[Row]:
        images = [image for image, _ in pairs]
        explanations = [each.explanation for _, each in pairs if each.explanation is not None]
        rows = (
            image_rows(images, Explanation.join(explanations), self.job.settings, self.segmenter)
            if explanations
            else [size_row(image) for image in images]
        )
        for row, (_, computed) in zip(rows, pairs, strict=True):
            if computed.feature is not None:
                row["features"] = computed.feature.numpy()
        return rows

    def _compute(self, images: Sequence[InputImage]) -> list[_Computed]:
        explanation = (
            None if self.features is None else self.explainer.explain_images(images, self.features)
        )
        features: Sequence[Tensor | None] = [None] * len(images)
        if "features" in self.job.settings.tasks:
            features = list(unit_features(self.explainer, images))
        return [
            _Computed(explanation=None if explanation is None else explanation[index], feature=row)
            for index, row in enumerate(features)
        ]


def _result_or_reason(result: _Computed | Exception, name: str) -> _Computed | str:
    return _reason(result, name) if isinstance(result, Exception) else result


def _row_or_error_row(row: Row | Exception, name: str) -> Row:
    return error_row(name, _reason(row, name)) if isinstance(row, Exception) else row


def _reason(error: Exception, name: str) -> str:
    """The reason why an image failed, for its row; the other images are not affected."""
    if isinstance(error, ClipSurgeryError):
        return str(error)
    if is_out_of_memory(error):
        return str(out_of_memory_error(name))
    return f"{name}: unexpected {type(error).__name__}: {error}"
