"""The base class of dense methods that need a segmenter, such as SAM, beside a companion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import torch

from clip_surgery.errors import InputError
from clip_surgery.methods.companion_method import CompanionMethod
from clip_surgery.methods.method import Method
from clip_surgery.methods.requirements import Part
from clip_surgery.segmenters.registry import SEGMENTERS, SegmenterLoader, load_segmenter
from clip_surgery.segmenters.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class SegmenterMethod(CompanionMethod):
    """A dense method whose features depend on a segmenter and on the companion of the model.

    A method with a segmenter needs the companion only; `needs` of an instance says so. Without one
    the method is refused with an error that says how to give one.

    Attributes:
        segmenter: what `load_segmenter` loads: the hub name or folder of a SAM model, a registered
            name, or "package.module:Class". It is loaded at the first image and kept in memory.

    Raises:
        InputError: if segmenter is no name.
    """

    needs: ClassVar[frozenset[Part]] = frozenset({"companion", "segmenter"})

    segmenter: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segmenter is None:
            return
        if not isinstance(self.segmenter, str) or not self.segmenter.strip():
            raise InputError(
                "Expected segmenter to be a name such as facebook/sam-vit-base, a folder or "
                f'"package.module:Class", but got {self.segmenter!r}.'
            )
        object.__setattr__(self, "needs", self.needs - {"segmenter"})

    def load_segmenter(self, device: torch.device) -> Segmenter:
        """Return the segmenter on a device, from memory if it was used before.

        Raises:
            InputError: if there is no segmenter, or it cannot be used.
            UnknownNameError: if no segmenter has this name.
            WeightsError: if its weights cannot be found, fetched or read.
        """
        if self.segmenter is None:
            raise InputError(f"{self.name}: expected a segmenter, but got none.")
        return _loaded(self.segmenter, str(device), SEGMENTERS.get(self.segmenter))


def with_segmenter(method: Method, name: str | None) -> Method:
    """Return the method with a segmenter, if it needs one and has none; otherwise the method.

    Args:
        method: any method.
        name: what `load_segmenter` loads; None changes nothing.

    Raises:
        InputError: if the method needs a segmenter and the name is empty.
    """
    if name is None or not isinstance(method, SegmenterMethod) or method.segmenter is not None:
        return method
    return replace(method, segmenter=name)


@lru_cache(maxsize=2)
def _loaded(name: str, device: str, loader: str | SegmenterLoader | None) -> Segmenter:
    """The segmenter of this name; `loader` is what is registered, which may change."""
    return load_segmenter(name, device=device)
