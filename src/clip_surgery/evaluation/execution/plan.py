"""The plan of an evaluation: images, texts, methods and metrics, everything except the model.

A plan is cut into parts that depend on the indices of images only. Any number of processes, in one
run or several, therefore evaluates the same parts, and results that are merged in the order of the
parts are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Dataset, describe_dataset
from clip_surgery.evaluation.execution.cost import Cost
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.metrics.evaluated_image import texts_to_explain
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.evaluation.reporting.provenance import installed_versions
from clip_surgery.explainer import Explainer
from clip_surgery.methods.method import Method
from clip_surgery.windows import Windows

MetricFactory = Callable[[tuple[str, ...]], Metric]
"""Creates a metric for the class names of a data set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A data set, the methods to evaluate on it, and the metrics. A plan can be pickled.

    Attributes:
        dataset: the images with their ground truth.
        methods: row name to method.
        protocol: determines windows, prompts and, if `metrics` is empty, the metrics.
        metrics: what to compute; each factory is called with the class names.
        part_size: number of images in a part.

    Raises:
        InputError: if there is no method, no image or no metric, or if the protocol needs
            background words and the data set has none.
    """

    dataset: Dataset
    methods: Mapping[str, Method]
    protocol: Protocol | None = None
    metrics: Sequence[MetricFactory] = ()
    part_size: int

    def __post_init__(self) -> None:
        if not self.methods or not len(self.dataset):
            raise InputError(
                f"Expected at least one method and image, but got {len(self.methods)} "
                f"and {len(self.dataset)}."
            )
        if self.part_size < 1:
            raise InputError(f"Expected parts of at least 1 image, but got {self.part_size}.")
        if not self.metrics and self.protocol is None:
            raise InputError("Expected a protocol or metrics, but got neither.")
        if self._uses_background_words and not self.background:
            raise InputError(f"Expected a data set with background words, but got {self.dataset}.")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The class names of the data set."""
        return tuple(self.dataset.names)

    @cached_property
    def prompts(self) -> tuple[tuple[str, ...], ...] | None:
        """The aliases of each class, or None if each class is prompted with its name only."""
        if self.protocol is None or self.protocol.prompts == "names" or self._classes is None:
            return None
        return self._classes.aliases

    @cached_property
    def background(self) -> tuple[str, ...]:
        """The background words that compete with the classes; empty if none do."""
        if not self._uses_background_words or self._classes is None:
            return ()
        return self._classes.background

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that every image is explained for."""
        prompts = [(name,) for name in self.names] if self.prompts is None else self.prompts
        return texts_to_explain(prompts, self.background)

    @property
    def windows(self) -> Windows | None:
        """The windows that images are cut into, or None if images are explained whole."""
        return None if self.protocol is None else self.protocol.windows

    def parts(self) -> list[range]:
        """Return the image indices of each part."""
        count, size = len(self.dataset), self.part_size
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def empty_result(self, explainer: Explainer) -> PartialResult:
        """Return the result before the first image."""
        device = explainer.backbone.device
        return PartialResult(
            metrics={row: self._build_metrics() for row in self.methods},
            costs={row: Cost(device) for row in self.methods},
        )

    def identity(self, explainer: Explainer, weights: str) -> dict[str, str]:
        """Return everything that must be equal in two runs so that their parts can be combined.

        Args:
            explainer: the model with its templates and framing.
            weights: fingerprint of the weights of the model.
        """
        backbone = explainer.backbone
        return {
            "dataset": describe_dataset(self.dataset),
            "images": str(len(self.dataset)),
            "names": digest(self.names),
            "texts": digest(self.texts),
            "methods": "; ".join(f"{row}: {method!r}" for row, method in self.methods.items()),
            "protocol": repr(self.protocol),
            "metrics": ", ".join(map(describe, self.metrics)) or "those of the protocol",
            "backbone": backbone.name,
            "weights": weights,
            "companion": "none" if backbone.companion is None else backbone.companion.name,
            "device": f"{backbone.device.type}, {backbone.dtype}",
            "templates": digest(explainer.templates),
            "framing": repr(explainer.framing),
            "vocabulary": digest(explainer.vocabulary or ()),
            "versions": ", ".join(map(" ".join, installed_versions().items())),
        }

    def _build_metrics(self) -> list[Metric]:
        if self.metrics:
            return [metric(self.names) for metric in self.metrics]
        assert self.protocol is not None  # checked in __post_init__
        return self.protocol.build_metrics(self.names)

    @property
    def _uses_background_words(self) -> bool:
        protocol = self.protocol
        return protocol is not None and (
            protocol.background == "words" or protocol.background_words
        )

    @property
    def _classes(self) -> ClassNames | None:
        return getattr(self.dataset, "classes", None)


def describe(metric: MetricFactory) -> str:
    """Return the name and settings of a metric as text that is the same in every run.

    Example:
        >>> from clip_surgery.evaluation.metrics.points_accuracy import PointsAccuracy
        >>> describe(partial(PointsAccuracy, mode="peaks"))
        "PointsAccuracy(mode='peaks')"
    """
    if isinstance(metric, partial):
        settings = [repr(value) for value in metric.args]
        settings += [f"{name}={value!r}" for name, value in metric.keywords.items()]
        return f"{describe(metric.func)}({', '.join(settings)})"
    return str(getattr(metric, "__qualname__", type(metric).__qualname__))


def digest(texts: Sequence[str]) -> str:
    """Return the number of texts, the first text, and a hash of all of them.

    Example:
        >>> digest(["dog", "boat"])
        "2: 'dog' ... (8b5029dc)"
    """
    if not texts:
        return "none"
    hash_digits = sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{len(texts)}: {texts[0]!r} ... ({hash_digits})"
