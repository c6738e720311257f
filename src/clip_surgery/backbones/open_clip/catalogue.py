"""The architectures and tags of open_clip, and which of them are supported."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from open_clip import get_model_config, list_models
from open_clip.pretrained import (
    get_pretrained_cfg,
    list_pretrained,
    list_pretrained_tags_by_model,
)

from clip_surgery.backbones.hub import one_line
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError


def list_architectures() -> list[tuple[str, str]]:
    """Return (architecture, tag) of all weights of open_clip whose towers are supported."""
    return [
        (architecture, tag)
        for architecture, tag in list_pretrained()
        if (config := get_model_config(architecture)) and unsupported_part(config) is None
    ]


_SUPPORTED_TIMM = ("vit_", "eva", "vitamin_")
_UNSUPPORTED_TIMM = ("vit_relpos_",)


def unsupported_part(config: dict[str, Any]) -> str | None:
    """Return the unsupported part of a model configuration of open_clip, or None.

    This check runs before anything is fetched. Reading the model checks more parts.
    """
    name = config["vision_cfg"].get("timm_model_name")
    if name and (not name.startswith(_SUPPORTED_TIMM) or name.startswith(_UNSUPPORTED_TIMM)):
        return f"the timm tower {name}"
    return None


def check_config(config: dict[str, Any], name: str) -> None:
    """Check that a model configuration of open_clip has no unsupported part.

    Args:
        config: the configuration.
        name: name of the model, for the message.

    Raises:
        UnsupportedModelError: if it has one; the message names the part.
    """
    part = unsupported_part(config)
    if part is not None:
        raise UnsupportedModelError(f"{name}: {part} is not supported yet.")


def split_name(rest: str) -> tuple[str, str | None]:
    """Split "ARCH/TAG" or "ARCH" into architecture and tag.

    Names of OpenAI such as ViT-B/16 are accepted for ViT-B-16.

    Returns:
        The architecture as open_clip spells it, and the tag or None.

    Raises:
        UnknownNameError: if open_clip does not have the architecture.
    """
    known = list_models()
    full_name = rest.replace("/", "-")
    if full_name in known:
        return full_name, None
    architecture, _, tag = rest.rpartition("/")
    architecture = architecture.replace("/", "-")
    if architecture not in known:
        near = get_close_matches(architecture or full_name, known, n=3) or known
        raise UnknownNameError(
            f"Unknown open_clip architecture '{one_line(architecture or full_name)}'. "
            f"Similar names: {', '.join(near)}."
        )
    return architecture, tag


def tag_config(architecture: str, tag: str | None) -> dict[str, Any]:
    """Return the entry of open_clip for the weights of a tag.

    Raises:
        InputError: if the tag is None.
        UnknownNameError: if the architecture has no such tag; the message lists its tags.
    """
    tags = list_pretrained_tags_by_model(architecture)
    if tag is None:
        raise InputError(
            f"Expected open_clip:{architecture}/TAG or a checkpoint file for "
            f"open_clip:{architecture}. Tags: {', '.join(tags) or 'none'}."
        )
    entry: dict[str, Any] = get_pretrained_cfg(architecture, tag)
    if not entry:
        raise UnknownNameError.among(f"tag of open_clip:{architecture}", one_line(tag), tags)
    return entry


def shared_preprocessing(architecture: str) -> dict[str, Any]:
    """Return the "mean" and "std" that all weights of open_clip for an architecture share.

    They are used for weights from a file, which does not contain them. A value that differs between
    the weights is left out.
    """
    entries = [
        get_pretrained_cfg(architecture, tag) for tag in list_pretrained_tags_by_model(architecture)
    ]
    shared = {}
    for key in ("mean", "std"):
        values = {tuple(entry[key]) if entry.get(key) else None for entry in entries}
        if len(values) == 1 and None not in values:
            shared[key] = values.pop()
    return shared
