"""The result of an evaluation on some of the images, which can be merged and stored as bytes.

The bytes are a compressed safetensors file, because most of the numbers that metrics keep are zero.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.cost import Cost
from clip_surgery.evaluation.execution.journal import DamagedPartError
from clip_surgery.evaluation.metrics.metric import Metric

_COUNTS = "counts"  # name of the tensor that contains costs, number of images and failures as JSON


@dataclass(kw_only=True, eq=False)
class PartialResult:
    """Metrics and costs of each row, and the images that could not be read.

    Attributes:
        metrics: row name to metrics. All of them have been updated with the same images.
        costs: row name to the cost of the method.
        images: number of images that were evaluated.
        failures: index of each image that could not be read, with the reason.
    """

    metrics: dict[str, list[Metric]]
    costs: dict[str, Cost]
    images: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    def merge(self, other: PartialResult) -> None:
        """Add the result of other images."""
        for row, metrics in self.metrics.items():
            for metric, other_metric in zip(metrics, other.metrics[row], strict=True):
                metric.merge(other_metric)
            self.costs[row].merge(other.costs[row])
        self.images += other.images
        self.failures |= other.failures

    def values(self, row: str) -> dict[str, float]:
        """Return the numbers of one row by name. At least one image must have been evaluated."""
        values: dict[str, float] = {}
        for metric in self.metrics[row]:
            values.update(metric.compute())
        return {**values, **self.costs[row].values(self.images)}

    def to_bytes(self) -> bytes:
        """Return everything in a form that `load_bytes` reads."""
        counts = {
            "costs": {row: [cost.seconds, cost.peak_bytes] for row, cost in self.costs.items()},
            "images": self.images,
            "failures": list(self.failures.items()),
        }
        tensors = {_COUNTS: torch.tensor(list(json.dumps(counts).encode()), dtype=torch.uint8)}
        for row_index, metrics in enumerate(self.metrics.values()):
            for metric_index, metric in enumerate(metrics):
                for key, state in metric.state().items():
                    # A clone, because the file format refuses tensors that share memory.
                    tensors[f"{row_index}/{metric_index}/{key}"] = (
                        state.detach().cpu().contiguous().clone()
                    )
        return zlib.compress(save(tensors), level=1)

    def load_bytes(self, content: bytes, *, name: str = "partial result") -> None:
        """Load what `to_bytes` returned into an empty result of the same rows and metrics.

        Args:
            content: the bytes.
            name: name of the file in the error message.

        Raises:
            DamagedPartError: if the bytes are damaged, or of other rows or metrics.
        """
        try:
            tensors = load(zlib.decompress(content))
            self._load(tensors, json.loads(bytes(tensors.pop(_COUNTS).tolist())))
        except (
            *(zlib.error, SafetensorError, InputError),
            *(ValueError, TypeError, KeyError, RecursionError),
        ) as error:
            raise DamagedPartError(f"{name}: damaged ({error}).") from error

    def _load(self, tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> None:
        states: dict[tuple[int, int], dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            row_index, metric_index, key = name.split("/", 2)
            states.setdefault((int(row_index), int(metric_index)), {})[key] = tensor
        for row_number, (row, metrics) in enumerate(self.metrics.items()):
            for metric_number, metric in enumerate(metrics):
                metric.load(states.pop((row_number, metric_number), {}))
            self.costs[row].seconds, self.costs[row].peak_bytes = counts["costs"][row]
        if states:
            raise ValueError(f"states of unknown metrics {sorted(states)}")
        self.images = counts["images"]
        self.failures = dict(counts["failures"])
