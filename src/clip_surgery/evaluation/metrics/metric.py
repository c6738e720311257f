"""The interface of metrics, and a base class for metrics that consist of sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.sums import Sums


@runtime_checkable
class Metric(Protocol):
    """A metric that is updated image by image, in memory that does not grow with their number.

    A class with these methods can be passed to `evaluate(metrics=...)`. It is created with the
    class names of the data set: `MyMetric(names)`.
    """

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image."""
        ...

    def merge(self, other: Self) -> None:
        """Add what another metric of the same class names and settings has measured."""
        ...

    def compute(self) -> Mapping[str, float]:
        """Return the results by name. Results for which there was no data are left out."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return the state of the metric as small tensors by name."""
        ...

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load a state into a new metric of the same class names and settings.

        Raises:
            InputError: if the state is of another metric or of other class names.
        """
        ...


class SummedMetric:
    """Base class of metrics whose state consists of attributes of type `Sums`.

    A subclass creates them in its constructor and implements `update` and `compute`.
    """

    def merge(self, other: Self) -> None:
        """Add what another metric of the same class names and settings has measured."""
        other_sums = other._sums()
        for name, sums in self._sums().items():
            sums.merge(other_sums[name])

    def state(self) -> dict[str, Tensor]:
        """Return the state of the metric as small tensors by name."""
        return {
            f"{name}.{key}": value
            for name, sums in self._sums().items()
            for key, value in sums.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load a state into a new metric of the same class names and settings.

        Raises:
            InputError: if the state is of another metric or of other class names.
        """
        expected = self.state().keys()
        if state.keys() != expected:
            raise InputError(
                f"Expected a state with {sorted(expected)} for {type(self).__name__}, "
                f"but got {sorted(state)}."
            )
        for name, sums in self._sums().items():
            prefix = f"{name}."
            tensors = {
                key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)
            }
            try:
                sums.load(tensors)
            except (IndexError, RuntimeError) as error:
                raise InputError(f"Expected a state of {type(self).__name__}: {error}") from error

    def _sums(self) -> dict[str, Sums]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Sums)}
