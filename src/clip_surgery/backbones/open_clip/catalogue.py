"""What open_clip offers: architectures, tags, and which of them can be read."""

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
    """List (architecture, tag) of all of open_clip's weights whose towers can be read."""
    return [
        (architecture, tag)
        for architecture, tag in list_pretrained()
        if (config := get_model_config(architecture)) and unread_part(config) is None
    ]


_READ_OF_TIMM = ("vit_", "eva", "vitamin_")
_UNREAD_OF_TIMM = ("vit_relpos_",)


def unread_part(config: dict[str, Any]) -> str | None:
    """Name the part of an open_clip model configuration that cannot be read, or None.

    The model itself is read with more care; this is what can be said before anything is fetched.
    """
    name = config["vision_cfg"].get("timm_model_name")
    if name and (not name.startswith(_READ_OF_TIMM) or name.startswith(_UNREAD_OF_TIMM)):
        return f"the timm tower {name}"
    return None


def check_config(config: dict[str, Any], name: str) -> None:
    """Refuse a model configuration with a part that cannot be read.

    Raises:
        UnsupportedModelError: naming the part.
    """
    part = unread_part(config)
    if part is not None:
        raise UnsupportedModelError(f"{name}: {part} is not supported yet.")


def split_name(rest: str) -> tuple[str, str | None]:
    """Split `ARCH/TAG` or `ARCH`; OpenAI's spelling ViT-B/16 is taken for ViT-B-16.

    Raises:
        UnknownNameError: for an unknown architecture.
    """
    known = list_models()
    whole = rest.replace("/", "-")
    if whole in known:
        return whole, None
    architecture, _, tag = rest.rpartition("/")
    architecture = architecture.replace("/", "-")
    if architecture not in known:
        near = get_close_matches(architecture or whole, known, n=3) or known
        raise UnknownNameError(
            f"Unknown open_clip architecture '{one_line(architecture or whole)}'. "
            f"Near ones: {', '.join(near)}."
        )
    return architecture, tag


def tag_config(architecture: str, tag: str | None) -> dict[str, Any]:
    """Return open_clip's entry for the weights of a tag.

    Raises:
        InputError: when there is no tag.
        UnknownNameError: for an unknown tag, listing the known ones.
    """
    tags = list_pretrained_tags_by_model(architecture)
    if tag is None:
        raise InputError(
            f"Expected open_clip:{architecture}/TAG or a checkpoint file for "
            f"open_clip:{architecture}. Tags: {', '.join(tags) or 'none'}."
        )
    found: dict[str, Any] = get_pretrained_cfg(architecture, tag)
    if not found:
        raise UnknownNameError.among(f"tag of open_clip:{architecture}", one_line(tag), tags)
    return found


def agreed_pixels(architecture: str) -> dict[str, Any]:
    """Mean and deviation of pixels that all of open_clip's weights for an architecture agree on.

    For weights from a file, which do not say: a SigLIP's pixels are not a CLIP's.
    """
    entries = [
        get_pretrained_cfg(architecture, tag) for tag in list_pretrained_tags_by_model(architecture)
    ]
    agreed = {}
    for key in ("mean", "std"):
        found = {tuple(entry[key]) if entry.get(key) else None for entry in entries}
        if len(found) == 1 and None not in found:
            agreed[key] = found.pop()
    return agreed
