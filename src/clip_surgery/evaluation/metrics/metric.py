"""Metric: what all of them can do, and what those share that are made of sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.sums import Sums


@runtime_checkable
class Metric(Protocol):
    """A running measurement; its memory does not grow with the number of images."""

    name: str

    def update(self, case: Case) -> None:
        """Take one image in."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another part of the data set measured."""
        ...

    def compute(self) -> Mapping[str, float]:
        """The numbers so far, by name; a number nothing was measured for is left out."""
        ...

    def state(self) -> dict[str, Tensor]:
        """All that was measured so far, as small tensors by name."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave into a fresh metric of the same names and settings.

        Raises:
            InputError: when the state is of another metric or of other names.
        """
        ...


class SummedMetric:
    """A metric whose measurements are attributes that add up: `ClassMean`, `Counts`, ..."""

    def merge(self, other: Self) -> None:
        """Take in what another part of the data set measured."""
        theirs = other._sums()
        for name, sums in self._sums().items():
            sums.merge(theirs[name])

    def state(self) -> dict[str, Tensor]:
        """All that was measured so far, as small tensors by name."""
        return {
            f"{name}.{key}": value
            for name, sums in self._sums().items()
            for key, value in sums.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take what `state` gave into a fresh metric of the same names and settings.

        Raises:
            InputError: when the state is of another metric or of other names.
        """
        expected = self.state().keys()
        if state.keys() != expected:
            raise InputError(
                f"Expected a state with {sorted(expected)} for {type(self).__name__}, "
                f"but got {sorted(state)}."
            )
        for name, sums in self._sums().items():
            prefix = f"{name}."
            own = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
            try:
                sums.load(own)
            except (IndexError, RuntimeError) as error:
                raise InputError(f"Expected a state of {type(self).__name__}: {error}") from error

    def _sums(self) -> dict[str, Sums]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Sums)}
