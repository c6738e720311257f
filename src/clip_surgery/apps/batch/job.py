"""Job: everything that decides what the rows are, as a value that other processes are sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal, get_args

from clip_surgery.apps.batch.items import Source
from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.texts import check_texts
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.tasks.boxes import BoxRule
from clip_surgery.tasks.masks import PromptKind
from clip_surgery.tasks.point_rules import PeakPoints, PointRule

Task = Literal["scores", "presence", "points", "boxes", "masks", "maps"]
TASKS: tuple[Task, ...] = get_args(Task)
_MOST_SHARDS, _SMALLEST, _LARGEST = 64, 16, 512
Facts = dict[str, str]
"""What a process that has loaded the model knows of it."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What is asked of every image.

    Attributes:
        tasks: which columns there are.
        points: how clicks are chosen.
        boxes: how boxes are cut.
        prompt_kinds: what a segmenter is shown.
        min_presence: texts less likely than this have no points, boxes or masks of a segmenter.

    Raises:
        UnknownNameError: for an unknown task.
        InputError: for no task, or min_presence outside 0 to 1.
    """

    tasks: tuple[Task, ...] = TASKS
    points: PointRule = field(default_factory=PeakPoints)
    boxes: BoxRule = field(default_factory=BoxRule)
    prompt_kinds: tuple[PromptKind, ...] = ("points",)
    min_presence: float | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError("Expected at least one task, but got none.")
        for task in self.tasks:
            if task not in TASKS:
                raise UnknownNameError.among("task", task, TASKS)
        if self.min_presence is not None and not 0 <= self.min_presence <= 1:
            raise InputError(f"Expected min_presence within 0 to 1, but got {self.min_presence}.")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Images, texts, and how to load who explains them.

    Attributes:
        source: the images.
        texts: the labels.
        load: makes the Explainer in each process; picklable, as functools.partial(load, "demo").
        asking: what is asked of each image.
        segmenter: makes the segmenter that cuts objects out, if there is one; picklable.
        shard_size: images in a file of results; None for a size that gives many files to share
            out without any being large (the same for the same number of images).

    Raises:
        InputError: when the texts cannot be used or a shard would be empty.
    """

    source: Source
    texts: tuple[str, ...]
    load: Callable[[], Explainer]
    asking: Asking = field(default_factory=Asking)
    segmenter: Callable[[], Segmenter] | None = None
    shard_size: int | None = None

    def __post_init__(self) -> None:
        check_texts(self.texts)
        if self.shard_size is not None and self.shard_size < 1:
            raise InputError(f"Expected at least 1 image a shard, but got {self.shard_size}.")

    @property
    def shard_rows(self) -> int:
        """Images in a shard; the last one may have fewer."""
        if self.shard_size is not None:
            return self.shard_size
        return min(_LARGEST, max(_SMALLEST, -(-len(self.source) // _MOST_SHARDS)))

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-len(self.source) // self.shard_rows)

    def cut(self, shard: int) -> range:
        """The images of one shard.

        Raises:
            IndexError: when there is no such shard.
        """
        if not 0 <= shard < self.shards:
            raise IndexError(f"Expected a shard below {self.shards}, but got {shard}.")
        start = shard * self.shard_rows
        return range(start, min(start + self.shard_rows, len(self.source)))

    def facts(self) -> dict[str, Any]:
        """What the results depend on, as far as it is known before a model is loaded."""
        return {
            "version": version("clip-surgery"),
            "source": self.source.digest(),
            "pictures": len(self.source),
            "texts": list(self.texts),
            "tasks": list(self.asking.tasks),
            "points": repr(self.asking.points),
            "boxes": repr(self.asking.boxes),
            "prompt_kinds": list(self.asking.prompt_kinds),
            "min presence": self.asking.min_presence,
            "shard size": self.shard_rows,
            "segmenter": self.segmenter is not None,
        }


def facts_of(explainer: Explainer, segmenter: Segmenter | None) -> Facts:
    """What the results depend on in a model, its method and settings."""
    backbone = explainer.backbone
    vocabulary = json.dumps(explainer.vocabulary)
    return {
        "backbone": backbone.name,
        "weights": fingerprint(backbone.model, settings=backbone.fingerprint()),
        "dtype": str(backbone.dtype),
        "method": repr(explainer.method),
        "templates": json.dumps(explainer.templates),
        "framing": repr(explainer.framing),
        "batch size": str(explainer.batch_size),
        "truncate": str(explainer.truncate),
        "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest()[:16],
        "segmenter weights": "" if segmenter is None else _segmenter_facts(segmenter),
    }


def _segmenter_facts(segmenter: Segmenter) -> str:
    from torch import nn

    model = getattr(segmenter, "model", None)
    return fingerprint(model) if isinstance(model, nn.Module) else type(segmenter).__name__
