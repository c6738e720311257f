"""Parts of a model that methods need, and the error for a model without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.registered import REGISTERED

Part = Literal["class token", "second-last block", "gradients", "companion", "segmenter"]

REPAIR_NEEDS: frozenset[Part] = frozenset({"class token", "second-last block"})


def require(backbone: Backbone, needs: Iterable[Part], *, purpose: str) -> None:
    """Raise an error if a model lacks a part.

    Args:
        backbone: the model.
        needs: the parts that are needed.
        purpose: what they are needed for, the start of the message, for example a method's name.

    Raises:
        UnsupportedModelError: if a part is missing. The message names the part and the methods
            that support the model.
    """
    for part in sorted(needs):
        problem = _CHECKS[part](backbone)
        if problem is not None:
            raise unsupported(backbone, f"{purpose} needs {problem}", purpose=purpose, part=part)


def supported_methods(backbone: Backbone) -> tuple[str, ...]:
    """Return the names of the registered methods whose needed parts a model has.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> "proxy_clip" in supported_methods(load_backbone("demo"))  # it needs a companion
        False
    """
    missing = {part for part, check in _CHECKS.items() if check(backbone) is not None}
    return tuple(
        name
        for name, method in REGISTERED.items()
        if not missing.intersection(getattr(method, "needs", ()))
    )


def unsupported(
    backbone: Backbone, problem: str, *, purpose: str | None = None, part: str | None = None
) -> UnsupportedModelError:
    """Return the error for a problem, with the registered methods that support the model."""
    supported = supported_methods(backbone)
    problem = problem.rstrip(".")
    advice = (
        f" Methods that work with {backbone.name}: {', '.join(supported)}." if supported else ""
    )
    return UnsupportedModelError(
        f"{problem}.{advice}",
        purpose=purpose,
        part=part,
        alternatives=supported,
        problem=f"{problem}.",
    )


def _missing_class_token(backbone: Backbone) -> str | None:
    tower = backbone.tower
    if tower.prefix_tokens and tower.pool_reads == "prefix":
        return None
    if tower.prefix_tokens:
        return "a class token, but this image feature is pooled from all tokens"
    return "a class token, but this image tower has none"


def _missing_second_last_block(backbone: Backbone) -> str | None:
    blocks = len(backbone.tower.blocks)
    return None if blocks > 1 else f"a second-last block, but this image tower has {blocks}"


def _missing_companion(backbone: Backbone) -> str | None:
    if backbone.companion is not None:
        return None
    return (
        "a companion model such as DINO, but none was given (companion= in load and wrap, "
        "--companion on the command line; for example timm:vit_base_patch16_224.dino)"
    )


def _missing_segmenter(backbone: Backbone) -> str | None:
    """A segmenter is a setting of a method, which then no longer needs one."""
    return (
        "a segmenter such as SAM, but none was given (the setting segmenter=, --segmenter on the "
        "command line; for example facebook/sam-vit-base)"
    )


def _missing_gradients(backbone: Backbone) -> str | None:
    if any(_is_quantised(module) for module in backbone.model.modules()):
        return "gradients, but none pass through this model's quantised weights"
    if any(parameter.is_inference() for parameter in backbone.model.parameters()):
        return (
            "gradients, but this model's weights were made under torch.inference_mode "
            "(load it under torch.no_grad)"
        )
    return None


def _is_quantised(module: nn.Module) -> bool:
    packed = "quantized" in type(module).__module__.split(".")
    return packed or any(
        parameter.is_quantized or not parameter.is_floating_point()
        for parameter in module.parameters(recurse=False)
    )


_CHECKS: Mapping[Part, Callable[[Backbone], str | None]] = {  # None if the model has the part
    "class token": _missing_class_token,
    "second-last block": _missing_second_last_block,
    "gradients": _missing_gradients,
    "companion": _missing_companion,
    "segmenter": _missing_segmenter,
}
