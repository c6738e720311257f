"""The sums that metrics keep.

All sums are integers, so that results do not depend on the order of images, the number of workers
or interruptions: the sums over the parts of a data set add up to exactly the sums over all of it.
A state contains only the entries that are not zero, which keeps a journal of thousands of states
small.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from clip_surgery.errors import InputError

UNIT = 2.0**-32
"""Resolution of means. With it, the sum over 20 million images of 100 % fits into 64 bits."""


class Sums(ABC):
    """Integers that can be added to those of other images."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add the sums over other images."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return the sums as tensors by name."""

    @abstractmethod
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the sums by those of a state.

        Raises:
            InputError: if the state is of another shape.
        """


class Counts(Sums):
    """A table of counts, int64.

    Args:
        shape: the sides of the table.
    """

    def __init__(self, *shape: int) -> None:
        if min(shape) < 1:
            raise InputError(f"Expected a table with sides of 1 or more, but got {shape}.")
        self.values = torch.zeros(*shape, dtype=torch.int64)

    def merge(self, other: Self) -> None:
        """Add the counts of other images."""
        self.values += other.values

    def state(self) -> dict[str, Tensor]:
        """Return the counts that are not zero, with their flat indices."""
        flat = self.values.flatten()
        where = flat.nonzero()[:, 0]
        return {"shape": torch.tensor(self.values.shape), "where": where, "counts": flat[where]}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the sums by those of a state.

        Raises:
            InputError: if the state is of another shape.
        """
        check_shape(state["shape"], self.values.shape)
        self.values.zero_().view(-1)[state["where"]] = state["counts"]


class ClassMean(Sums):
    """For K values at once, the mean over classes of the mean over images that contain the class.

    Args:
        classes: number of classes.
        values: number of values, K.
    """

    def __init__(self, classes: int, values: int = 1) -> None:
        if classes < 1 or values < 1:
            raise InputError(f"Expected classes and values of 1 or more: {classes}, {values}.")
        self.sums = torch.zeros(classes, values, dtype=torch.int64)  # in units of 2^-32
        self.counts = torch.zeros(classes, dtype=torch.int64)

    def add(self, index: int, values: Tensor | float) -> None:
        """Add the values of one image for one class.

        Args:
            index: index of the class.
            values: (K,) values, at most about 100 in absolute value.

        Raises:
            InputError: if a value is not finite.
        """
        numbers = torch.as_tensor(values, dtype=torch.float64)
        if not numbers.isfinite().all():
            raise InputError(f"Expected finite values for class {index}, but got {values}.")
        self.sums[index] += (numbers / UNIT).round().long()
        self.counts[index] += 1

    def merge(self, other: Self) -> None:
        """Add the sums of other images."""
        self.sums += other.sums
        self.counts += other.counts

    def means(self) -> Tensor | None:
        """Return the means (K,) over the classes that have images, or None if there are none."""
        seen = self.counts > 0
        if not seen.any():
            return None
        return (self.sums[seen].double() * UNIT / self.counts[seen, None]).mean(dim=0)

    def state(self) -> dict[str, Tensor]:
        """Return the classes with at least one image, with their sums and counts."""
        seen = self.counts.nonzero()[:, 0]
        return {
            "shape": torch.tensor(self.sums.shape),
            "classes": seen,
            "sums": self.sums[seen],
            "counts": self.counts[seen],
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the sums by those of a state.

        Raises:
            InputError: if the state is of another shape.
        """
        check_shape(state["shape"], self.sums.shape)
        self.sums.zero_()[state["classes"]] = state["sums"]
        self.counts.zero_()[state["classes"]] = state["counts"]


def check_shape(shape: Tensor, expected: tuple[int, ...]) -> None:
    """Check that a state has the expected shape.

    Raises:
        InputError: if the shapes differ.
    """
    if tuple(shape.tolist()) != tuple(expected):
        raise InputError(
            f"Expected a state of shape {tuple(expected)}, but got {tuple(shape.tolist())}: "
            "it may be of other class names."
        )
