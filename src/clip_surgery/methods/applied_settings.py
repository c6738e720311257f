"""The settings of a method as they apply to one model.

A `depth`, the number of last blocks that a method changes or reads, may be "auto", or exceed the
number of blocks of a model: all blocks are then used. Results record what was used, not what was
written.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, cast

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.depth import AUTO, applied_depth
from clip_surgery.methods.method import Method


def applied_settings(method: Method, tower: Tower) -> Method:
    """Return the method with its `depth` as a number of at most the blocks of the image tower.

    Methods that are no dataclasses, or have another `depth`, are returned as they are.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> from clip_surgery.methods.registry import as_method
        >>> applied_settings(as_method("clip_surgery(depth=80)"), load_backbone("demo").tower).depth
        8
    """
    if not is_dataclass(method) or "depth" not in {field.name for field in fields(method)}:
        return method
    depth = getattr(method, "depth")  # noqa: B009  # not every method has it
    if not isinstance(depth, int) and depth != AUTO:
        return method
    applied = min(applied_depth(depth, tower), len(tower.blocks))
    if applied == depth:
        return method
    return cast("Method", replace(cast("Any", method), depth=applied))
