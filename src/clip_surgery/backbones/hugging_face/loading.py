"""Load models of transformers by hub name or from a folder, with `from_pretrained`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer, PretrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.config_files import converting_errors, is_folder, three_numbers
from clip_surgery.backbones.hub import could_not_fetch, not_usable, one_line, require_hub
from clip_surgery.backbones.hugging_face.model import Channels, read_hugging_face
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.tokenizers import has_word_pieces
from clip_surgery.errors import ClipSurgeryError, UnsupportedModelError


def load_hugging_face(
    source: str, *, device: torch.device, dtype: torch.dtype, positions: PositionMode
) -> Backbone:
    """Load a CLIP model of transformers by its hub name or from a local folder.

    Cached files are used without a request; only missing files are fetched from the hub.

    Args:
        source: the hub name or the folder.
        device: device of the weights.
        dtype: type of the weights.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".

    Raises:
        WeightsError: if a file is missing, damaged or cannot be fetched.
        UnsupportedModelError: if the model is not of one of the types in `MODEL_TYPES`.
    """
    name = f"hugging_face:{source}"
    folder = Path(source) if is_folder(source) else None
    try:
        model, tokenizer, mean, std = _load(source, local_files_only=True)
    except ClipSurgeryError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError and others
        if folder is not None:
            raise not_usable(folder, error) from error
        require_hub(name)
        try:
            model, tokenizer, mean, std = _load(source, local_files_only=False)
        except ClipSurgeryError:
            raise
        except Exception as error:
            raise could_not_fetch(name, one_line(error)) from error
    with converting_errors(folder or name):
        return read_hugging_face(
            model.to(device, dtype).eval(),
            name=name,
            tokenizer=tokenizer,
            image_mean=mean,
            image_std=std,
            positions=positions,
        )


MODEL_TYPES = ("clip", "metaclip_2", "altclip", "chinese_clip", "siglip", "siglip2")
"""Supported values of `model_type` in config.json."""

_Loaded = tuple[Any, Any, Channels | None, Channels | None]


def _load(source: str, *, local_files_only: bool) -> _Loaded:
    settings, _ = PretrainedConfig.get_config_dict(source, local_files_only=local_files_only)
    if settings.get("model_type") not in MODEL_TYPES:
        raise UnsupportedModelError(
            f"{source}: expected a transformers model of type {', '.join(MODEL_TYPES)}, "
            f"but got {settings.get('model_type')!r}."
        )
    model, report = AutoModel.from_pretrained(
        source, local_files_only=local_files_only, output_loading_info=True
    )
    if report["missing_keys"]:  # transformers would use random weights instead
        raise not_usable(source, f"weights missing for {sorted(report['missing_keys'])[0]}")
    tokenizer = _tokenizer(
        source, vocabulary=model.config.text_config.vocab_size, local_files_only=local_files_only
    )
    return model, tokenizer, *_mean_and_std(source, local_files_only=local_files_only)


def _tokenizer(source: str, *, vocabulary: int, local_files_only: bool) -> Any:
    """Load the tokenizer of the model; None, for that of CLIP, if its files are missing."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local_files_only)
    except (OSError, ValueError):
        return None
    return tokenizer if has_word_pieces(tokenizer, vocabulary) else None


def _mean_and_std(
    source: str, *, local_files_only: bool
) -> tuple[Channels | None, Channels | None]:
    """Read mean and standard deviation of pixels; None for those that are not recorded."""
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(
            source, local_files_only=local_files_only
        )
    except (OSError, ValueError):
        return None, None
    settings = settings.get("image_processor", settings)
    mean, std = (
        three_numbers(settings[field], field, source=source) if settings.get(field) else None
        for field in ("image_mean", "image_std")
    )
    return mean, std
