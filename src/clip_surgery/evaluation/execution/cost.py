"""Cost: the time, and on a GPU the memory, that a method takes while it is measured."""

from __future__ import annotations

import time
from types import TracebackType

import torch


class Cost:
    """Sums the seconds inside `with cost:` and keeps the highest GPU memory seen there.

    Seconds of several parts add up, whichever process or run measured them: with several
    processes on one machine they are what a process takes for an image beside the others.

    On a CPU there is no memory: an allocator keeps what an earlier method took, so the size of
    the process says nothing of one method. `benchmarks/methods.py` measures it with a process
    for each.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = 0.0
        self.peak_bytes = 0

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        self._begin = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated(self.device))
        self.seconds += time.perf_counter() - self._begin

    def merge(self, other: Cost) -> None:
        """Add the cost of another part."""
        self.seconds += other.seconds
        self.peak_bytes = max(self.peak_bytes, other.peak_bytes)

    def values(self, images: int) -> dict[str, float]:
        """Milliseconds an image, and peak megabytes where they are known."""
        costs = {"ms per image": 1000 * self.seconds / images}
        return {**costs, "peak MB": self.peak_bytes / 2**20} if self.peak_bytes else costs
