"""Load a companion from timm: DINO, DINOv2, DINOv3 and other vision transformers without texts.

Sources: DINO (arXiv 2104.14294), DINOv2 (2304.07193), DINOv3 (2508.10104). A folder is in the
format of `timm.models.save_for_hf`: config.json with weights beside it. The model is built without
its classifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_model_config_from_hf
from torch import Tensor, nn

from clip_surgery.backbones.companion import Companion
from clip_surgery.backbones.config_files import (
    converting_errors,
    object_field,
    read_json_object,
    three_numbers,
)
from clip_surgery.backbones.hub import (
    cached_file,
    could_not_fetch,
    not_usable,
    one_line,
    require_hub,
)
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.timm.heads import TimmHead
from clip_surgery.backbones.timm.tower import read_trunk
from clip_surgery.errors import ClipSurgeryError, UnknownNameError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_CONFIG = "config.json"
_ADVICE = "Give a local folder that timm's save_for_hf has written."


def load_timm_folder(folder: Path, *, device: torch.device, dtype: torch.dtype) -> Companion:
    """Load a folder in the format of timm.

    Raises:
        WeightsError: if a file is missing or damaged, or does not fit the architecture.
        UnsupportedModelError: if a part of the model is not supported.
    """
    _check_folder(folder)
    with converting_errors(folder):
        model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    return read_companion(model.to(device, dtype).eval(), name=f"timm:{folder}")


def load_timm_name(name: str, *, device: torch.device, dtype: torch.dtype) -> Companion:
    """Load a model that timm has published weights for, such as "vit_base_patch8_224.dino".

    Weights in the cache of the hub are used without a request.

    Raises:
        UnknownNameError: if timm has no weights of this name; the message lists similar names.
        WeightsError: if the weights cannot be fetched or read.
        UnsupportedModelError: if a part of the model is not supported.
    """
    if not timm.models.is_model_pretrained(name):
        raise UnknownNameError(
            f"Unknown companion 'timm:{one_line(name)}'. "
            f"{_similar(name)}Or give a local folder in timm's format."
        )
    settings = timm.models.get_pretrained_cfg(name)
    repository = getattr(settings, "hf_hub_id", None)
    if repository and cached_file(repository, *WEIGHT_FILES) is None:
        require_hub(f"timm:{name} ({repository})", advice=_ADVICE)
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except ClipSurgeryError:
        raise
    except Exception as error:  # the error classes of the hub differ between its versions
        raise could_not_fetch(f"timm:{name}", one_line(error), advice=_ADVICE) from error
    return read_companion(model.to(device, dtype).eval(), name=f"timm:{name}")


def load_timm_hub(repository: str, *, device: torch.device, dtype: torch.dtype) -> Companion:
    """Load a repository of the Hugging Face hub in the format of timm.

    Raises:
        WeightsError: if it cannot be fetched or read.
        UnsupportedModelError: if a part of the model is not supported.
    """
    name = f"hf-hub:{repository}"
    if None in (cached_file(repository, _CONFIG), cached_file(repository, *WEIGHT_FILES)):
        require_hub(name, advice=_ADVICE)
    try:
        load_model_config_from_hf(repository)
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except ClipSurgeryError:
        raise
    except Exception as error:
        raise could_not_fetch(name, one_line(error), advice=_ADVICE) from error
    return read_companion(model.to(device, dtype).eval(), name=name)


def read_companion(
    model: nn.Module, *, name: str, positions: PositionMode = "bicubic"
) -> Companion:
    """Return the Companion of a `VisionTransformer` or `Eva` of timm; the model is not changed.

    Args:
        model: the model, in eval mode.
        name: name of the companion in reports.
        positions: interpolation of position embeddings; DINO's own is bicubic.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    trunk: Any = model
    settings = getattr(trunk, "pretrained_cfg", None) or {}
    mean, std = (
        three_numbers(settings.get(key, default), key, source=name)
        for key, default in (
            ("mean", timm.data.IMAGENET_DEFAULT_MEAN),
            ("std", timm.data.IMAGENET_DEFAULT_STD),
        )
    )
    return Companion(
        name=name,
        tower=read_trunk(trunk, _final_norm, positions),
        image_mean=mean,
        image_std=std,
        model=model,
    )


def _final_norm(trunk: Any) -> TimmHead:
    """The final norm as the head: timm moves it behind the mean if it pools by the mean."""
    norm = trunk.norm if not isinstance(trunk.norm, nn.Identity) else trunk.fc_norm
    prefix = int(trunk.num_prefix_tokens)

    def pool(tokens: Tensor) -> Tensor:
        normed: Tensor = norm(tokens)
        return normed[:, 0] if prefix else normed.mean(dim=1)

    return TimmHead(project=norm, pool=pool, pool_reads="prefix" if prefix else "all")


def _check_folder(folder: Path) -> None:
    """Check the fields of the configuration that timm reads without a check."""
    config = read_json_object(folder / _CONFIG)
    if not isinstance(config.get("architecture"), str):
        raise not_usable(folder / _CONFIG, "expected architecture to be the name of a timm model")
    if config["architecture"] not in timm.list_models():
        raise not_usable(
            folder / _CONFIG, f"timm has no architecture {one_line(config['architecture'])}"
        )
    if "pretrained_cfg" in config:
        object_field(config, "pretrained_cfg", file=folder / _CONFIG)
    if not any((folder / file).is_file() for file in WEIGHT_FILES):
        raise not_usable(folder, f"neither {' nor '.join(WEIGHT_FILES)} is in it")


def _similar(name: str) -> str:
    """A sentence with the published names that contain the name, or those of DINO."""
    known = timm.list_pretrained(f"*{name}*") or timm.list_pretrained("*dino*")
    return f"timm has {', '.join(known[:6])}{', ...' if len(known) > 6 else ''}. "
