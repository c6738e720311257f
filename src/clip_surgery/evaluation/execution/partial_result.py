"""Measured: what was found on some images, which adds up and can be kept as bytes.

The bytes are a safetensors file, compressed: most of what metrics count in is zeros, and the
compression's checksum gives a damaged file away.
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
from clip_surgery.evaluation.metrics.metric import Metric

_FACTS = "facts"


@dataclass(kw_only=True, eq=False)
class PartialResult:
    """Metrics and costs by row, over the images that could be read; why others could not.

    Attributes:
        metrics: by row, all fed with the same images.
        costs: by row.
        images: how many were measured.
        failures: index to reason of each image that could not be read.
    """

    metrics: dict[str, list[Metric]]
    costs: dict[str, Cost]
    images: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    def merge(self, other: PartialResult) -> None:
        """Add another part."""
        for row, metrics in self.metrics.items():
            for metric, more in zip(metrics, other.metrics[row], strict=True):
                metric.merge(more)
            self.costs[row].merge(other.costs[row])
        self.images += other.images
        self.failures |= other.failures

    def values(self, row: str) -> dict[str, float]:
        """The numbers of one row; at least one image must have been measured."""
        found: dict[str, float] = {}
        for metric in self.metrics[row]:
            found.update(metric.compute())
        return {**found, **self.costs[row].values(self.images)}

    def to_bytes(self) -> bytes:
        """All of it, for `load_bytes`."""
        facts = {
            "costs": {row: [cost.seconds, cost.peak_bytes] for row, cost in self.costs.items()},
            "images": self.images,
            "failures": list(self.failures.items()),
        }
        tensors = {_FACTS: torch.tensor(list(json.dumps(facts).encode()), dtype=torch.uint8)}
        for place, metrics in enumerate(self.metrics.values()):
            for number, metric in enumerate(metrics):
                for key, state in metric.state().items():
                    # A clone: the file format refuses tensors that share memory.
                    tensors[f"{place}/{number}/{key}"] = state.detach().cpu().contiguous().clone()
        return zlib.compress(save(tensors), level=1)

    def load_bytes(self, content: bytes) -> None:
        """Take over what `to_bytes` gave, where nothing was measured yet.

        Raises:
            InputError: when the bytes are damaged or of other rows or metrics.
        """
        try:
            tensors = load(zlib.decompress(content))
            self._load(tensors, json.loads(bytes(tensors.pop(_FACTS).tolist())))
        except (zlib.error, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise InputError(f"damaged ({error})") from error

    def _load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        states: dict[tuple[int, int], dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            row_place, metric_place, key = name.split("/", 2)
            states.setdefault((int(row_place), int(metric_place)), {})[key] = tensor
        for place, (row, metrics) in enumerate(self.metrics.items()):
            for number, metric in enumerate(metrics):
                metric.load(states.pop((place, number), {}))
            self.costs[row].seconds, self.costs[row].peak_bytes = facts["costs"][row]
        if states:
            raise ValueError(f"states of unknown metrics {sorted(states)}")
        self.images = facts["images"]
        self.failures = dict(facts["failures"])
