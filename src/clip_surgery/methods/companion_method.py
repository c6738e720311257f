"""The base class of dense methods that need a companion, such as DINO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.requirements import Part
from clip_surgery.surgery.walk import Features


@dataclass(frozen=True, kw_only=True)
class CompanionMethod(DenseMethod):
    """A dense method whose features depend on the companion of the model.

    A subclass implements `features_for`. Without a companion the method is refused with an error
    that says how to give one.
    """

    needs: ClassVar[frozenset[Part]] = frozenset({"companion"})

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Raise an error, because a tower alone has no companion.

        Raises:
            UnsupportedModelError: always.
        """
        raise UnsupportedModelError(
            f"{self.name} needs a companion, which the image tower alone does not have."
        )
