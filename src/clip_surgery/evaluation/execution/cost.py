"""The time, and on a GPU the memory, that a method takes during an evaluation."""

from __future__ import annotations

import time
from types import TracebackType

import torch


class Cost:
    """Adds up the seconds spent inside `with cost:` and keeps the peak of GPU memory.

    The seconds of several parts are added, whichever process or run measured them. If several
    processes share a machine, the time of an image includes the effect of the other processes.

    On a CPU no memory is reported, because the memory of the process also contains what the
    allocator kept from earlier methods. `benchmarks/methods.py` measures it, with one process for
    each method.

    Args:
        device: the device of the model.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        self._start = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self.device))
        self.seconds += time.perf_counter() - self._start

    def merge(self, other: Cost) -> None:
        """Add the cost of other images."""
        self.seconds += other.seconds
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)

    def values(self, images: int) -> dict[str, float]:
        """Return milliseconds per image, and on a GPU the peak of memory in megabytes."""
        values = {"ms per image": 1000 * self.seconds / images}
        return {**values, "peak MB": self.peak_bytes / 2**20} if self.peak_bytes else values
