"""Load a CLIP model by name, or wrap a model in memory.

Only the library of the model is imported.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.config_files import is_file, is_folder
from clip_surgery.backbones.demo.model import DemoClip
from clip_surgery.backbones.demo.reading import read_demo
from clip_surgery.backbones.devices import resolve_device, resolve_dtype
from clip_surgery.backbones.finite_weights import check_finite_weights
from clip_surgery.backbones.hub import not_usable, one_line
from clip_surgery.backbones.model_names import Source, parse_name
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.errors import (
    InputError,
    MissingExtraError,
    UnsupportedModelError,
    WeightsError,
)


def load_backbone(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    positions: PositionMode = "bilinear",
) -> Backbone:
    """Load a CLIP model by name, in eval mode.

    Args:
        name: "demo"; "open_clip:ARCH/TAG"; "open_clip:ARCH" with a checkpoint; "hf-hub:NAME" (a
            repository in the format of open_clip); "hugging_face:NAME" (a repository in the format
            of transformers); or a local folder in either format, also as "local-dir:FOLDER".
        checkpoint: a local file with the weights for "open_clip:ARCH".
        device: "auto" (CUDA if there is a GPU, otherwise MPS, otherwise CPU) or a device of torch
            such as "cuda:1".
        dtype: type of the weights and of the computation: "float32", "bfloat16" or "float16".
        positions: interpolation of position embeddings for other grids, "bilinear" or "bicubic".

    Raises:
        UnknownNameError: if the name has none of these forms, or if dtype or positions is unknown.
        InputError: if this machine does not have the device, or if a checkpoint is given for a name
            that is not "open_clip:ARCH".
        WeightsError: if weights cannot be found, fetched or read, or are not finite.
        UnsupportedModelError: if a part of the model is not supported.
        MissingExtraError: if the library of the model is not installed.

    Example:
        >>> load_backbone("demo").tower.patch_size                          # doctest: +SKIP
        8
    """
    check_position_mode(positions)
    source = parse_name(name)
    if checkpoint is not None and source.scheme != "open_clip":
        raise InputError(f"Expected open_clip:ARCH with a checkpoint file, but got {name!r}.")
    if checkpoint is not None and not is_file(checkpoint):
        raise WeightsError(
            f"Expected a checkpoint file, but there is none at {one_line(str(checkpoint))}."
        )
    backbone = _load(
        source,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        device=resolve_device(device),
        dtype=resolve_dtype(dtype),
        positions=positions,
    )
    check_finite_weights(backbone.model, source=backbone.name)
    return backbone


def wrap_backbone(
    model: nn.Module,
    *,
    tokenizer: Any = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
    name: str | None = None,
) -> Backbone:
    """Return a Backbone of a model that is already in memory.

    The model is not changed: its mode, device and dtype stay the same. Dropout is not applied.

    Args:
        model: a `CLIP`, `CustomTextCLIP` or `CoCa` of open_clip; or a `CLIPModel`,
            `MetaClip2Model`, `AltCLIPModel`, `ChineseCLIPModel`, `SiglipModel` or `Siglip2Model` of
            transformers.
        tokenizer: the tokenizer of the model, of open_clip or transformers. If None, the tokenizer
            of CLIP is used, for models with its vocabulary of 49,408 word pieces.
        image_size: side in pixels of the images given to the model; None for its native size.
        positions: interpolation of position embeddings, as for `load_backbone`.
        name: name of the model in reports.

    Raises:
        UnsupportedModelError: if the model is of another class, or if a part is not supported; the
            message names the part.
        InputError: if a tokenizer is needed or of an unknown class, or if image_size is below 1.
    """
    libraries = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    label = name or f"wrapped:{type(model).__name__}"
    if image_size is not None and image_size < 1:
        raise InputError(f"Expected image_size of at least 1 px, but got {image_size}.")
    if "open_clip" in libraries:
        from clip_surgery.backbones.open_clip.model import read_open_clip

        return read_open_clip(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    if "transformers" in libraries:
        from clip_surgery.backbones.hugging_face.model import read_hugging_face

        return read_hugging_face(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    if isinstance(model, DemoClip):
        return read_demo(
            model, name=label, tokenizer=tokenizer, image_size=image_size, positions=positions
        )
    raise UnsupportedModelError(
        "Expected a CLIP model of open_clip or transformers, "
        f"but got {type(model).__module__}.{type(model).__qualname__}."
    )


def _load(
    source: Source,
    *,
    checkpoint: Path | None,
    device: torch.device,
    dtype: torch.dtype,
    positions: PositionMode,
) -> Backbone:
    """Import the library of the source, and no other, and load the model with it."""
    if source.scheme == "folder":
        return _load_folder(Path(source.rest), device=device, dtype=dtype, positions=positions)
    if source.scheme == "demo":
        from clip_surgery.backbones.demo.loading import load_demo

        return load_demo(device=device, dtype=dtype, positions=positions)
    if source.scheme == "hugging_face":
        return _load_hugging_face(source.rest, device=device, dtype=dtype, positions=positions)
    from clip_surgery.backbones.open_clip import loading as open_clip_loading

    if source.scheme == "hf-hub":
        return open_clip_loading.load_hub(
            source.rest, device=device, dtype=dtype, positions=positions
        )
    return open_clip_loading.load_architecture(
        source.rest, checkpoint=checkpoint, device=device, dtype=dtype, positions=positions
    )


def _load_folder(
    folder: Path, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    """Load a folder in the format of open_clip, of the demo model or of transformers."""
    if not is_folder(folder):
        raise WeightsError(
            f"Expected a folder with a model, but there is none at {one_line(str(folder))}."
        )
    if (folder / "open_clip_config.json").is_file():
        from clip_surgery.backbones.open_clip import loading as open_clip_loading

        return open_clip_loading.load_folder(
            folder, device=device, dtype=dtype, positions=positions
        )
    if not (folder / "config.json").is_file():
        raise not_usable(folder, "neither open_clip_config.json nor config.json is in it")
    from clip_surgery.backbones.demo.loading import is_demo_folder, load_demo

    if is_demo_folder(folder):
        return load_demo(folder, device=device, dtype=dtype, positions=positions, name=str(folder))
    return _load_hugging_face(str(folder), device=device, dtype=dtype, positions=positions)


def _load_hugging_face(
    source: str, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError.of("transformers", "transformers")
    from clip_surgery.backbones.hugging_face.loading import load_hugging_face

    return load_hugging_face(source, device=device, dtype=dtype, positions=positions)
