"""The setting `depth` of methods with a second path: a number of blocks, or "auto"."""

from __future__ import annotations

from typing import Literal

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.surgery.consistent_features import default_depth

Depth = int | Literal["auto"]
AUTO: Literal["auto"] = "auto"


def checked_depth(depth: object, *, least: int) -> Depth:
    """Return the setting, with text such as "8" as a number.

    Args:
        depth: the setting.
        least: smallest permitted number of blocks.

    Raises:
        InputError: if it is neither "auto" nor a whole number of at least `least`.

    Example:
        >>> checked_depth("8", least=0)
        8
    """
    if depth == AUTO:
        return AUTO
    try:
        blocks = int(str(depth))
    except ValueError:
        raise InputError(
            f"Expected depth to be a number of blocks or auto, but got {depth!r}."
        ) from None
    if blocks < least:
        raise InputError(f"Expected depth to be {least} or more blocks, but got {depth}.")
    return blocks


def applied_depth(depth: Depth, tower: Tower) -> int:
    """Return the number of blocks that the setting means for an image tower.

    Args:
        depth: the setting.
        tower: the image tower.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> applied_depth("auto", load_backbone("demo").tower)
        8
    """
    return depth if isinstance(depth, int) else default_depth(tower)
