"""Remarks of methods whose settings do not suit a model.

Published settings were chosen on published models. A method that can tell from the weights of a
model that its settings do not suit it implements `remark(backbone)`. Comparisons and reports show
the remark beside the method's result. A remark is not an error: the method runs all the same.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.methods.method import Method


@runtime_checkable
class HasRemark(Protocol):
    """A method that checks whether its settings suit a model."""

    def remark(self, backbone: Backbone) -> str | None:
        """Return one sentence or two on settings that do not suit the model, or None."""
        ...


def method_remark(method: Method, backbone: Backbone) -> str | None:
    """Return why the settings of a method do not suit a model, or None if nothing is known.

    Args:
        method: any method; `remark` is optional for methods, and None is returned without it.
        backbone: the model.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> from clip_surgery.methods.registry import as_method
        >>> demo = load_backbone("demo")
        >>> method_remark(as_method("gem"), demo) is None
        False
        >>> method_remark(as_method("gem(sharpness=8)"), demo) is None
        True
    """
    return method.remark(backbone) if isinstance(method, HasRemark) else None
