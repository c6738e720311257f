"""Metric: what all of them can do, and the mean over classes that most of them take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.case import Case


class Metric(Protocol):
    """A running measurement; its memory does not grow with the number of pictures."""

    name: str

    def update(self, case: Case) -> None:
        """Take one picture in."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another part of the data set measured."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The numbers so far, by name; a number nothing was measured for is left out."""
        ...


class ClassMean:
    """Mean over classes of the mean over pictures holding the class, of K values at once."""

    def __init__(self, classes: int, values: int = 1) -> None:
        if classes < 1 or values < 1:
            raise InputError(f"Expected classes and values of 1 or more: {classes}, {values}.")
        self.sums = torch.zeros(classes, values, dtype=torch.float64)
        self.counts = torch.zeros(classes, dtype=torch.int64)

    def add(self, index: int, values: Tensor | float) -> None:
        """Add the values (K,) that one picture gives for one class."""
        self.sums[index] += torch.as_tensor(values, dtype=torch.float64)
        self.counts[index] += 1

    def merge(self, other: ClassMean) -> None:
        """Add another part's sums."""
        self.sums += other.sums
        self.counts += other.counts

    def means(self) -> Tensor | None:
        """(K,) means over the classes seen, None when no class was."""
        seen = self.counts > 0
        if not seen.any():
            return None
        return (self.sums[seen] / self.counts[seen, None]).mean(dim=0)
