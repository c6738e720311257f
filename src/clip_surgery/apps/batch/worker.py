"""Worker: a model that turns shards of images into files of rows, in whatever process it is.

The engines differ in who starts workers and hands out shards; what a worker does with a shard is
here alone, so rows cannot depend on the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from clip_surgery.apps.batch.attempts import Attempt
from clip_surgery.apps.batch.decoding import Read, read_ahead, windows
from clip_surgery.apps.batch.job import Facts, Job, facts_of
from clip_surgery.apps.batch.rows import Row, failed, row, schema
from clip_surgery.apps.batch.shards import Done, write_shard
from clip_surgery.errors import ClipSurgeryError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.text.features import TextFeatures

_BATCHES_A_WINDOW = 4  # so that images of one frame find each other
_KILLED = "the process that reads it dies each time (a broken file, or lack of memory)."


@dataclass(frozen=True, kw_only=True)
class Order:
    """A shard to be made.

    Attributes:
        shard: its number.
        folder: where its file belongs.
        key: of the job, see `Results.settle`.
    """

    shard: int
    folder: Path
    key: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Worker:
    """A loaded model, ready for shards.

    Attributes:
        job: what is to be done.
        explainer: the model.
        features: of the job's texts.
        segmenter: if there is one.
        threads: how many decode images in the background.
    """

    job: Job
    explainer: Explainer
    features: TextFeatures
    segmenter: Segmenter | None
    threads: int = 2

    @classmethod
    def start(cls, job: Job, *, cores: int, threads: int = 2) -> Worker:
        """Load the model, and see by an empty image that all tasks can be done with it.

        Raises:
            ClipSurgeryError: when the model cannot be loaded, or a task not be done.
        """
        # fewer where OMP_NUM_THREADS says so: threads that wait for a busy core are slow
        torch.set_num_threads(max(1, min(cores, torch.get_num_threads())))
        explainer = job.load()
        worker = cls(
            job=job,
            explainer=explainer,
            features=explainer.encode(job.texts),
            segmenter=None if job.segmenter is None else job.segmenter(),
            threads=threads,
        )
        side = explainer.backbone.tower.patch_size * 2
        empty = InputImage(image=Image.new("RGB", (side, side), "grey"), name="an empty image")
        row(empty, worker._explain([empty])[0], job.asking, worker.segmenter)
        return worker

    @property
    def facts(self) -> Facts:
        """What the results depend on in the model."""
        return facts_of(self.explainer, self.segmenter)

    @property
    def schema(self) -> Any:
        """Of the rows."""
        return schema(self.job.asking, segmenter=self.segmenter is not None)

    def make(self, order: Order) -> Done:
        """Make the file of one shard.

        Raises:
            InputError: when the file cannot be written, or a table of the source is damaged.
            ClipSurgeryError: when earlier attempts killed their process too often.
            UnsupportedModelError: when the model lacks a part that no image could do without.
        """
        attempt = Attempt.begin(order.folder, order.shard)
        rows = self._rows(order.shard, attempt)
        done = write_shard(order.folder, order.shard, rows, of=self.schema, key=order.key)
        attempt.end()
        return done

    def _rows(self, shard: int, attempt: Attempt) -> Iterator[Row]:
        cut = self.job.cut(shard)
        items = self.job.source.items(cut.start, cut.stop)
        if not attempt.one_by_one:
            size = _BATCHES_A_WINDOW * self.explainer.batch_size
            for window in windows(read_ahead(items, threads=self.threads), count=size):
                yield from self._window(window)
            return
        for item in items:
            if item.index in attempt.bad:
                yield failed(item.name, f"{item.name}: {_KILLED}")
                continue
            attempt.at_picture(item.index)
            yield from self._window(list(read_ahead([item], threads=0)))

    def _window(self, window: Sequence[Read]) -> Iterator[Row]:
        pictures = [one.picture for one in window if one.picture is not None]
        found = iter(self._found(pictures))
        for one in window:
            if one.picture is None:
                yield failed(one.item.name, one.error or "")
                continue
            explained = next(found)
            if isinstance(explained, str):
                yield failed(one.item.name, explained)
                continue
            try:
                yield row(one.picture, explained, self.job.asking, self.segmenter)
            except Exception as error:
                yield failed(one.item.name, _reason(error, one.item.name))

    def _found(self, pictures: Sequence[InputImage]) -> list[Explanation | str]:
        """What was found in each image, or why nothing was."""
        if not pictures:
            return []
        try:
            return list(self._explain(pictures))
        except UnsupportedModelError:  # no image would fare better
            raise
        except Exception as error:
            if len(pictures) == 1:
                return [_reason(error, pictures[0].name)]
        # one of them is bad, or all together are too large
        return [one for picture in pictures for one in self._found([picture])]

    def _explain(self, pictures: Sequence[InputImage]) -> Explanation:
        return self.explainer.explain_images(pictures, self.features)


def _reason(error: Exception, name: str) -> str:
    """Why one image of many failed; a bad image must not stop the others."""
    if isinstance(error, ClipSurgeryError):
        return str(error)
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return f"{name}: out of memory; try a smaller --size or another --device."
    return f"{name}: unexpected {type(error).__name__}: {error}"
