"""Sums: what a metric keeps of images; parts of a data set add up to exactly the whole.

All are whole numbers, so that the order of images, the number of processes and a restart in
between leave no trace in the result. A state holds only what is not zero: a journal of thousands
of states stays small.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from clip_surgery.errors import InputError

UNIT = 2.0**-32
"""What means are summed in multiples of; 20 million images of 100 % fit in 64 bits."""


class Sums(ABC):
    """Whole numbers that add up."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add another part's."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All of it as tensors by name."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` said."""


class Counts(Sums):
    """A table of counts, int64."""

    def __init__(self, *shape: int) -> None:
        if min(shape) < 1:
            raise InputError(f"Expected a table with sides of 1 or more, but got {shape}.")
        self.values = torch.zeros(*shape, dtype=torch.int64)

    def merge(self, other: Self) -> None:
        """Add another table."""
        self.values += other.values

    def state(self) -> dict[str, Tensor]:
        """Where it is not zero, and what is there."""
        flat = self.values.flatten()
        where = flat.nonzero()[:, 0]
        return {"shape": torch.tensor(self.values.shape), "where": where, "counts": flat[where]}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` said."""
        check_shape(state["shape"], self.values.shape)
        self.values.zero_().view(-1)[state["where"]] = state["counts"]


class ClassMean(Sums):
    """Mean over classes of the mean over images holding the class, of K values at once."""

    def __init__(self, classes: int, values: int = 1) -> None:
        if classes < 1 or values < 1:
            raise InputError(f"Expected classes and values of 1 or more: {classes}, {values}.")
        self.sums = torch.zeros(classes, values, dtype=torch.int64)  # in units of 2^-32
        self.counts = torch.zeros(classes, dtype=torch.int64)

    def add(self, index: int, values: Tensor | float) -> None:
        """Add the values (K,) that one image gives for one class, at most 100 or so in size.

        Raises:
            InputError: when one is not finite.
        """
        given = torch.as_tensor(values, dtype=torch.float64)
        if not given.isfinite().all():
            raise InputError(f"Expected finite values for class {index}, but got {values}.")
        self.sums[index] += (given / UNIT).round().long()
        self.counts[index] += 1

    def merge(self, other: Self) -> None:
        """Add another part's sums."""
        self.sums += other.sums
        self.counts += other.counts

    def means(self) -> Tensor | None:
        """(K,) means over the classes seen, None when no class was."""
        seen = self.counts > 0
        if not seen.any():
            return None
        return (self.sums[seen].double() * UNIT / self.counts[seen, None]).mean(dim=0)

    def state(self) -> dict[str, Tensor]:
        """The classes seen, with their sums and counts."""
        seen = self.counts.nonzero()[:, 0]
        return {
            "shape": torch.tensor(self.sums.shape),
            "classes": seen,
            "sums": self.sums[seen],
            "counts": self.counts[seen],
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` said."""
        check_shape(state["shape"], self.sums.shape)
        self.sums.zero_()[state["classes"]] = state["sums"]
        self.counts.zero_()[state["classes"]] = state["counts"]


def check_shape(found: Tensor, expected: tuple[int, ...]) -> None:
    """Refuse a state of another size.

    Raises:
        InputError: when the shapes differ.
    """
    if tuple(found.tolist()) != tuple(expected):
        raise InputError(
            f"Expected a state of shape {tuple(expected)}, but got {tuple(found.tolist())}: "
            "was it measured for other names?"
        )
