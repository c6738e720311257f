"""Load models of open_clip by name, from a folder or from a file, with the loaders of open_clip.

If the weights of a tag were trained with QuickGELU, the model uses it; open_clip only warns that
the plain architecture does not. Pickled files are read with `weights_only`. No network request is
made if the files are in the cache of the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from open_clip import create_model, get_model_config
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
from open_clip.pretrained import download_pretrained, download_pretrained_from_hf
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.config_files import (
    converting_errors,
    object_field,
    positive_integer,
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
from clip_surgery.backbones.open_clip.catalogue import (
    check_config,
    shared_preprocessing,
    split_name,
    tag_config,
)
from clip_surgery.backbones.open_clip.configured_tokenizer import configured_tokenizer
from clip_surgery.backbones.open_clip.model import read_open_clip
from clip_surgery.backbones.open_clip.torch_script import is_torch_script, torch_script_advice
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.errors import ClipSurgeryError, InputError, WeightsError

CONFIG_NAME = "open_clip_config.json"
_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "pure_bf16", torch.float16: "pure_fp16"}


def load_architecture(
    rest: str,
    *,
    checkpoint: Path | None,
    device: torch.device,
    dtype: torch.dtype,
    positions: PositionMode,
) -> Backbone:
    """Load an architecture of open_clip with the weights of a tag or of a file.

    Args:
        rest: the name without its scheme: "ARCH/TAG", or "ARCH" with a checkpoint.
        checkpoint: the file with the weights, or None.
        device: device of the weights.
        dtype: type of the weights.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".

    Raises:
        UnknownNameError: if the architecture or tag is unknown; the message lists similar ones.
        InputError: if both a tag and a checkpoint are given, or neither.
        UnsupportedModelError: if the tower is not supported; checked before anything is fetched.
        WeightsError: if the weights cannot be fetched or read.
    """
    architecture, tag = split_name(rest)
    config = get_model_config(architecture)
    check_config(config, architecture)
    entry: dict[str, Any]
    if checkpoint is not None:
        if tag is not None:
            raise InputError(
                f"Expected open_clip:{architecture} with a checkpoint, but got the tag {tag!r} too."
            )
        weights, entry = checkpoint, shared_preprocessing(architecture)
    else:
        entry = tag_config(architecture, tag)
        weights = _fetch_tag(entry, f"open_clip:{architecture}/{tag}")
    tokenizer = configured_tokenizer(config["text_cfg"], None)
    model = _create(architecture, weights=weights, device=device, dtype=dtype, tag=entry)
    name = f"open_clip:{architecture}" + (f"/{tag}" if tag else f" {weights.name}")
    return read_open_clip(model, name=name, tokenizer=tokenizer, positions=positions)


def load_hub(
    repository: str, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    """Load a repository of the Hugging Face hub in the format of open_clip.

    Raises:
        WeightsError: if it cannot be fetched or read.
        UnsupportedModelError: if its tower is not supported.
    """
    name = f"hf-hub:{repository}"
    try:
        config = cached_file(repository, CONFIG_NAME)
        weights = cached_file(repository, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
        if config is None or weights is None:
            require_hub(name)
            config = Path(download_pretrained_from_hf(repository, filename=CONFIG_NAME))
            check_config(_read_config(config), name)
            download_pretrained_from_hf(repository)
    except ClipSurgeryError:
        raise
    except Exception as error:  # the error classes of the hub differ between its versions
        raise could_not_fetch(name, one_line(error)) from error
    return load_folder(
        config.parent, name=name, in_hub=True, device=device, dtype=dtype, positions=positions
    )


def load_folder(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    positions: PositionMode,
    name: str | None = None,
    in_hub: bool = False,
) -> Backbone:
    """Load a local folder with open_clip_config.json and the weights.

    Args:
        folder: the folder.
        device: device of the weights.
        dtype: type of the weights.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".
        name: name of the model in reports.
        in_hub: whether the folder is in the cache of the hub, so that the tokenizer is taken from
            the hub as well and not from the folder.

    Raises:
        WeightsError: if a file is missing or damaged.
        UnsupportedModelError: if the tower is not supported.
    """
    config = _read_config(folder / CONFIG_NAME)
    check_config(config, str(folder))
    weights = _weights_in(folder)
    with converting_errors(folder / CONFIG_NAME):
        tokenizer = configured_tokenizer(config["text_cfg"], None if in_hub else folder)
    model = _create(f"local-dir:{folder}", weights=weights, device=device, dtype=dtype)
    name = name or f"open_clip:{folder}"
    with converting_errors(folder / CONFIG_NAME):
        return read_open_clip(model, name=name, tokenizer=tokenizer, positions=positions)


def _fetch_tag(config: dict[str, Any], name: str) -> Path:
    """Return the weights of a tag from the cache of the hub, or fetch them with open_clip."""
    repository, _, file = config.get("hf_hub", "").rpartition("/")
    safe = f"{file.rpartition('.')[0]}.safetensors" if file else HF_SAFE_WEIGHTS_NAME
    try:
        if repository:
            cached = cached_file(repository, safe, file or HF_WEIGHTS_NAME)
            if cached is not None:
                return cached
            require_hub(f"{name} ({repository})")
        return Path(download_pretrained(config))
    except ClipSurgeryError:
        raise
    except Exception as error:  # of urllib, the hub or open_clip, depending on their versions
        raise could_not_fetch(name, one_line(error)) from error


def _create(
    model_name: str,
    *,
    weights: Path,
    device: torch.device,
    dtype: torch.dtype,
    tag: dict[str, Any] | None = None,
) -> nn.Module:
    """Create the model with its weights, in eval mode; `tag` is the entry of open_clip for them."""
    tag = tag or {}
    if is_torch_script(weights):
        raise WeightsError(f"Could not load weights from {weights}: {torch_script_advice(weights)}")
    try:
        model: nn.Module = create_model(
            model_name,
            pretrained=None if model_name.startswith("local-dir:") else str(weights),
            precision=_PRECISIONS[dtype],
            device=device,
            force_quick_gelu=bool(tag.get("quick_gelu")),
            force_preprocess_cfg={key: tag[key] for key in ("mean", "std") if key in tag},
            require_pretrained=True,
        )
    except Exception as error:  # unpickling, safetensors and shape errors have no common class
        raise not_usable(weights, error) from error
    return model.eval()


def _read_config(file: Path) -> dict[str, Any]:
    """Read the model part of open_clip_config.json, and check the fields used by this library."""
    config = read_json_object(file)
    model = object_field(config, "model_cfg", file=file)
    positive_integer(model.get("embed_dim"), "model_cfg.embed_dim", source=file)
    vision = object_field(model, "model_cfg.vision_cfg", file=file)
    if not isinstance(vision.get("timm_model_name") or "", str):
        raise not_usable(file, "expected model_cfg.vision_cfg.timm_model_name to be a string")
    text = object_field(model, "model_cfg.text_cfg", file=file)
    positive_integer(
        text.get("context_length", DEFAULT_CONTEXT_LENGTH),
        "model_cfg.text_cfg.context_length",
        source=file,
    )
    if text.get("tokenizer_kwargs") is not None:
        object_field(text, "model_cfg.text_cfg.tokenizer_kwargs", file=file)
    if config.get("preprocess_cfg") is not None:
        preprocessing = object_field(config, "preprocess_cfg", file=file)
        for key in ("mean", "std"):
            if preprocessing.get(key) is not None:
                three_numbers(preprocessing[key], f"preprocess_cfg.{key}", source=file)
    return model


def _weights_in(folder: Path) -> Path:
    """The file of weights in a folder, for messages; the folder itself if there are several."""
    files = [file for kind in ("safetensors", "bin", "pth") for file in folder.glob(f"*.{kind}")]
    if not files:
        raise not_usable(folder, "no .safetensors, .bin or .pth file is in it")
    return files[0] if len(files) == 1 else folder
