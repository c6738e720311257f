"""A method that works on the features of another dense method, its base."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.naclip import NaClip
from clip_surgery.methods.registered import REGISTERED
from clip_surgery.methods.sc_clip import ScClip
from clip_surgery.surgery.walk import Features

_KNOWN: dict[str, type[DenseMethod]] = {
    cls.name: cls for cls in (MaskClip, ClearClip, NaClip, ScClip, ClipSurgery)
}


@dataclass(frozen=True, kw_only=True)
class MethodOnBase(DenseMethod):
    """Settings of methods that work on the features of another dense method.

    Attributes:
        base: the other method, by its name (with its default settings) or as an object. Its
            setting `repair_outliers` is replaced by that of this method.

    Raises:
        InputError: if base is no dense method, or itself works on a base.
    """

    base: str | DenseMethod = "maskclip"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.base, DenseMethod):
            self.base_method()
        elif not isinstance(self.base, str):
            raise InputError(f"Expected base to be a dense method, but got {self.base!r}.")

    def base_method(self) -> DenseMethod:
        """Return the base, with the outlier repair of this method.

        Raises:
            UnknownNameError: if no method has the name.
            InputError: if the method is not dense, or itself works on a base.
        """
        base = self.base
        if isinstance(base, str):
            cls = _KNOWN.get(base) or REGISTERED.get(base)
            if cls is None:
                raise UnknownNameError.among("method", base, {**_KNOWN, **REGISTERED})
            instance = cls()
            if not isinstance(instance, DenseMethod):
                raise InputError(f"Expected base to be a dense method, but got {base!r}.")
            base = instance
        if isinstance(base, MethodOnBase):
            raise InputError(f"Expected a base without a base of its own, but got {base.name}.")
        return replace(base, repair_outliers=self.repair_outliers)

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return the features of the base."""
        return self.base_method().features(tower, pixels)
