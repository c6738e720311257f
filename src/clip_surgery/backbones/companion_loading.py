"""Load a companion by name, or wrap a model of timm in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from clip_surgery.backbones.companion import Companion
from clip_surgery.backbones.config_files import is_folder
from clip_surgery.backbones.devices import resolve_device, resolve_dtype
from clip_surgery.backbones.finite_weights import check_finite_weights
from clip_surgery.backbones.hub import one_line
from clip_surgery.errors import InputError, UnknownNameError

FORMS = "timm:NAME (such as timm:vit_base_patch8_224.dino), hf-hub:NAME, or a folder"


def load_companion(
    companion: str | Path | nn.Module | Companion,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
) -> Companion:
    """Return a companion: an image model without texts, such as DINO, that helps a CLIP model.

    Args:
        companion: "timm:NAME" for weights that timm publishes, such as
            "timm:vit_base_patch8_224.dino", "timm:vit_base_patch14_reg4_dinov2.lvd142m" or
            "timm:vit_base_patch16_dinov3.lvd1689m"; "hf-hub:NAME" for a repository in timm's
            format; a local folder that `timm.models.save_for_hf` has written; or a
            `VisionTransformer` or `Eva` of timm in memory, which is not changed.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps"; not used for a model in memory.
        dtype: "float32", "bfloat16" or "float16"; not used for a model in memory.

    Raises:
        UnknownNameError: if the name has none of these forms, or timm does not know it.
        InputError: if this machine does not have the device, or the argument is something else.
        WeightsError: if weights cannot be found, fetched or read, or are not finite.
        UnsupportedModelError: if a part of the model is not supported.

    Example:
        >>> load_companion("timm:vit_small_patch16_224.dino").name          # doctest: +SKIP
        'timm:vit_small_patch16_224.dino'
    """
    if isinstance(companion, Companion):
        return companion
    if isinstance(companion, nn.Module):
        from clip_surgery.backbones.timm.companions import read_companion

        return read_companion(companion, name=f"wrapped:{type(companion).__name__}")
    if not isinstance(companion, str | Path):
        raise InputError(f"Expected a companion's name, but got {type(companion).__name__}.")
    on_device = resolve_device(device) if isinstance(device, str) else device
    in_dtype = resolve_dtype(dtype) if isinstance(dtype, str) else dtype
    loaded = _load(str(companion), device=on_device, dtype=in_dtype)
    check_finite_weights(loaded.model, source=loaded.name)
    return loaded


def _load(name: str, *, device: torch.device, dtype: torch.dtype) -> Companion:
    """Load by the scheme of the name; timm is imported here only."""
    from clip_surgery.backbones.timm import companions

    scheme, _, rest = name.partition(":")
    if rest and scheme in ("timm", "local-dir") and is_folder(rest):
        return companions.load_timm_folder(Path(rest), device=device, dtype=dtype)
    if rest and scheme == "timm":
        return companions.load_timm_name(rest, device=device, dtype=dtype)
    if rest and scheme == "hf-hub":
        return companions.load_timm_hub(rest, device=device, dtype=dtype)
    if name and is_folder(name):
        return companions.load_timm_folder(Path(name), device=device, dtype=dtype)
    raise UnknownNameError(f"Unknown companion '{one_line(name)}'. Expected {FORMS}.")
