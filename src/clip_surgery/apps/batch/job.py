"""The description of a batch job: everything that determines its rows, in a picklable form."""

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

Task = Literal["scores", "presence", "points", "boxes", "masks", "maps", "features"]
TASKS: tuple[Task, ...] = get_args(Task)
DEFAULT_TASKS: tuple[Task, ...] = tuple(task for task in TASKS if task != "features")
"""All tasks that need texts."""
_MAX_SHARDS, _MIN_SHARD_SIZE, _MAX_SHARD_SIZE = 64, 16, 512
ModelIdentity = dict[str, str]
"""The properties of a loaded model that the results depend on, by name."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What to compute for each image.

    Attributes:
        tasks: the tasks, which determine the columns of the rows; by default all but `features`.
        points: how points are chosen.
        boxes: how boxes are chosen.
        prompt_kinds: the kinds of prompts for the segmenter.
        min_presence: minimum presence probability in [0, 1]. Texts below it yield no points,
            boxes or masks. If None, presence is not checked.

    Raises:
        UnknownNameError: if a task is unknown.
        InputError: if there is no task, or min_presence is not in [0, 1].

    Example:
        >>> TaskSettings(tasks=("scores", "boxes"), min_presence=0.5).tasks
        ('scores', 'boxes')
    """

    tasks: tuple[Task, ...] = DEFAULT_TASKS
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

    @property
    def needs_texts(self) -> bool:
        """Whether a task explains images for texts; features of images need none."""
        return set(self.tasks) != {"features"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """The images and texts of a batch job, and how each worker process loads its model.

    Attributes:
        source: the images, from `open_source`.
        texts: the texts for which every image is explained; none if no task needs texts.
        load: returns the Explainer; called in each process. It must be picklable, for example
            `functools.partial(load, "demo")`.
        settings: what to compute for each image.
        segmenter: returns the segmenter for the masks in `cut_outs`, or None. Picklable.
        shard_size: number of images in each result file. If None, it is chosen so that there are
            at most 64 files of 16 to 512 images, or more files of 512 images.

    Raises:
        InputError: if the texts cannot be used, or the shard size is below 1.
    """

    source: Source
    texts: tuple[str, ...]
    load: Callable[[], Explainer]
    settings: TaskSettings = field(default_factory=TaskSettings)
    segmenter: Callable[[], Segmenter] | None = None
    shard_size: int | None = None

    def __post_init__(self) -> None:
        if self.texts or self.settings.needs_texts:
            check_texts(self.texts)
        if self.shard_size is not None and self.shard_size < 1:
            raise InputError(f"Expected at least 1 image a shard, but got {self.shard_size}.")

    @property
    def images_per_shard(self) -> int:
        """Number of images in each shard; the last one may have fewer."""
        if self.shard_size is not None:
            return self.shard_size
        return min(_MAX_SHARD_SIZE, max(_MIN_SHARD_SIZE, -(-len(self.source) // _MAX_SHARDS)))

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-len(self.source) // self.images_per_shard)

    def image_range(self, shard: int) -> range:
        """The indices of the images in a shard.

        Raises:
            IndexError: if there is no shard with this number.
        """
        if not 0 <= shard < self.shard_count:
            raise IndexError(f"Expected a shard below {self.shard_count}, but got {shard}.")
        start = shard * self.images_per_shard
        return range(start, min(start + self.images_per_shard, len(self.source)))

    def identity(self) -> dict[str, Any]:
        """Everything that the results depend on and that is known before the model is loaded."""
        return {
            "version": version("clip-surgery"),
            "source": self.source.digest(),
            "images": len(self.source),
            "texts": list(self.texts),
            "tasks": list(self.settings.tasks),
            "points": repr(self.settings.points),
            "boxes": repr(self.settings.boxes),
            "prompt kinds": list(self.settings.prompt_kinds),
            "min presence": self.settings.min_presence,
            "shard size": self.images_per_shard,
            "segmenter": self.segmenter is not None,
        }


def model_identity(explainer: Explainer, segmenter: Segmenter | None) -> ModelIdentity:
    """The properties of a model, its method and its settings that the results depend on."""
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
        "segmenter weights": "" if segmenter is None else _segmenter_identity(segmenter),
    }


def feature_identity(explainer: Explainer) -> ModelIdentity:
    """The properties of a model that its image features depend on."""
    names = ("backbone", "weights", "dtype", "framing")
    identity = model_identity(explainer, None)
    return {name: identity[name] for name in names}


def _segmenter_identity(segmenter: Segmenter) -> str:
    from torch import nn

    model = getattr(segmenter, "model", None)
    return fingerprint(model) if isinstance(model, nn.Module) else type(segmenter).__name__
