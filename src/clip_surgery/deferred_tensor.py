"""Tensors that are computed when they are first read, and dataclass fields that hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from inspect import getattr_static
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Instance = TypeVar("Instance", bound="DataclassInstance")


class DeferredTensor:
    """A tensor that is computed when `value` is first read, and then kept.

    Several threads may read it; it is computed once. Copies and pickles hold the computed tensor.

    Example:
        >>> import torch
        >>> deferred = DeferredTensor(lambda: torch.arange(3))
        >>> deferred.then(lambda tensor: tensor[1:]).value
        tensor([1, 2])
    """

    def __init__(self, compute: Callable[[], Tensor]) -> None:
        self._compute: Callable[[], Tensor] | None = compute
        self._value: Tensor | None = None
        self._lock = RLock()

    @property
    def value(self) -> Tensor:
        """The tensor. An error of its computation is raised each time it is read."""
        with self._lock:
            if self._value is None:
                assert self._compute is not None
                self._value = self._compute()
                self._compute = None  # what it holds, such as an image, is not needed any more
            return self._value

    def then(self, change: Callable[[Tensor], Tensor]) -> DeferredTensor:
        """Return what `change` makes of this tensor, computed when it is read."""
        return DeferredTensor(lambda: change(self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        return _computed, (self.value,)


def _computed(value: Tensor) -> DeferredTensor:
    return DeferredTensor(lambda: value)


class DeferrableTensor:
    """A dataclass field that holds a tensor, None, or a `DeferredTensor`, which reading computes.

    Example:
        >>> import torch
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Scores:
        ...     ratios: DeferrableTensor = DeferrableTensor()
        >>> Scores(DeferredTensor(lambda: torch.ones(2))).ratios, Scores().ratios
        (tensor([1., 1.]), None)
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = f"_{name}"

    def __get__(self, instance: object | None, owner: type | None = None) -> Tensor | None:
        if instance is None:  # the default of the dataclass
            return None
        stored: Tensor | DeferredTensor | None = vars(instance)[self._key]
        return stored.value if isinstance(stored, DeferredTensor) else stored

    def __set__(self, instance: object, value: Tensor | DeferredTensor | None) -> None:
        vars(instance)[self._key] = value


def unread(instance: object, name: str) -> Tensor | DeferredTensor | None:
    """Return what a `DeferrableTensor` field holds, without computing it."""
    stored: Tensor | DeferredTensor | None = vars(instance)[f"_{name}"]
    return stored


def replaced(instance: Instance, **changes: Any) -> Instance:
    """Return `dataclasses.replace`, which would read all fields, without computing deferred ones.

    Example:
        >>> import torch
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Scores:
        ...     name: str
        ...     ratios: DeferrableTensor = DeferrableTensor()
        >>> deferred = DeferredTensor(lambda: torch.ones(2))
        >>> unread(replaced(Scores("a", deferred), name="b"), "ratios") is deferred
        True
    """
    kept = {
        field.name: unread(instance, field.name)
        for field in fields(instance)
        if isinstance(getattr_static(type(instance), field.name, None), DeferrableTensor)
    }
    return replace(instance, **{**kept, **changes})


def transformed(
    tensor: Tensor | DeferredTensor | None, change: Callable[[Tensor], Tensor]
) -> Tensor | DeferredTensor | None:
    """Return what `change` makes of a tensor, deferred if the tensor is; None stays None."""
    if tensor is None:
        return None
    return tensor.then(change) if isinstance(tensor, DeferredTensor) else change(tensor)


def combined(
    tensors: Sequence[Tensor | DeferredTensor | None], combine: Callable[[list[Tensor]], Tensor]
) -> Tensor | DeferredTensor | None:
    """Return what `combine` makes of tensors, deferred if one of them is; None if one is None."""
    if not tensors or any(tensor is None for tensor in tensors):
        return None

    def compute() -> Tensor:
        values = (t.value if isinstance(t, DeferredTensor) else t for t in tensors)
        return combine([value for value in values if value is not None])

    if any(isinstance(tensor, DeferredTensor) for tensor in tensors):
        return DeferredTensor(compute)
    return compute()
