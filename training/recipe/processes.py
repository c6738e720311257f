"""Several processes that train one model together: each encodes a part of every batch.

Each process encodes its part of the images and of the texts. The features of all parts are
exchanged, every process computes the loss of the whole batch, and the gradients are summed. The
updates are those of a single process, apart from rounding. On a CPU, two processes of one thread
are faster than one process of two threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True, kw_only=True)
class Processes:
    """How many processes train, and which of them this one is.

    Attributes:
        rank: the number of this process, from 0.
        count: how many there are. With 1, no method communicates.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes the log and the checkpoints."""
        return self.rank == 0

    def part(self, total: int, rank: int | None = None) -> slice:
        """The part of `total` items that a process encodes, by default this one."""
        rank = self.rank if rank is None else rank
        return slice(rank * total // self.count, (rank + 1) * total // self.count)

    def exchanged(self, own: Any) -> list[Any]:
        """The objects of all processes, in the order of their ranks."""
        if self.count == 1:
            return [own]
        everyone: list[Any] = [None] * self.count
        distributed.all_gather_object(everyone, own)
        return everyone

    def of_first(self, own: float) -> float:
        """The number of the first process, so that all take the same decision from it."""
        return float(self.exchanged(own)[0])

    def joined(self, own: Tensor, total: int) -> Tensor:
        """The features (total, D) of the whole batch; only `own` has a gradient.

        own: (n, D), the features of this process's part.
        """
        if self.count == 1:
            return own
        parts = [self.part(total, rank) for rank in range(self.count)]
        longest = max(part.stop - part.start for part in parts)
        padded = own.new_zeros(longest, own.shape[1])
        padded[: len(own)] = own.detach()
        everyone = [torch.empty_like(padded) for _ in parts]
        distributed.all_gather(everyone, padded)
        pieces = [
            piece[: part.stop - part.start] for piece, part in zip(everyone, parts, strict=True)
        ]
        pieces[self.rank] = own
        return torch.cat(pieces)

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter], *shared: nn.Parameter) -> None:
        """Replace the gradients by their sums over all processes.

        shared: parameters of the loss itself, whose whole gradient every process already has.
        """
        if self.count == 1:
            return
        for parameter in shared:
            if parameter.grad is not None:
                parameter.grad /= self.count
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, total in zip(gradients, flat.split(sizes), strict=True):
            gradient.copy_(total.view_as(gradient))


def launched() -> Processes:
    """The processes that `torchrun` started, which are connected here; one process without it."""
    if not distributed.is_torchelastic_launched():
        return Processes()
    distributed.init_process_group("gloo")
    return Processes(rank=distributed.get_rank(), count=distributed.get_world_size())
