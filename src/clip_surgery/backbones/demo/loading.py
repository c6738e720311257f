"""Load the bundled demo model: a small CLIP trained on generated scenes, for use without network.

Its folder contains `model.safetensors` and `config.json`. The configuration has `model_cfg` and
`preprocess_cfg` as in open_clip, the `nouns` and `other_words` that the model knows, and the
`sha256` of the weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.config_files import (
    converting_errors,
    object_field,
    read_json_object,
    three_numbers,
)
from clip_surgery.backbones.demo.model import DemoClip
from clip_surgery.backbones.demo.reading import read_demo
from clip_surgery.backbones.hub import not_usable
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.errors import WeightsError

FOLDER = Path(__file__).parent
_WEIGHTS = "model.safetensors"
_CONFIG = "config.json"


def load_demo(
    folder: Path = FOLDER,
    *,
    device: torch.device,
    dtype: torch.dtype,
    positions: PositionMode = "bilinear",
    name: str = "demo",
) -> Backbone:
    """Load the demo model, or another folder in its format.

    Args:
        folder: the folder with weights and configuration.
        device: device of the weights.
        dtype: type of the weights.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".
        name: name of the model in reports.

    Raises:
        WeightsError: if a file is missing or damaged, or if the weights do not have the SHA-256 of
            the configuration.
    """
    config = _read_config(folder / _CONFIG)
    weights = _read_weights(folder / _WEIGHTS, config["sha256"])
    preprocessing = config["preprocess_cfg"]
    with converting_errors(folder):
        model = DemoClip.of(config["model_cfg"])
        model.load_state_dict(weights)
        backbone = read_demo(
            model.to(device, dtype).eval(),
            name=name,
            mean=three_numbers(preprocessing["mean"], "preprocess_cfg.mean", source=folder),
            std=three_numbers(preprocessing["std"], "preprocess_cfg.std", source=folder),
            positions=positions,
        )
    return dataclasses.replace(
        backbone, nouns=tuple(config["nouns"]), other_words=tuple(config.get("other_words", ()))
    )


def is_demo_folder(folder: Path) -> bool:
    """Return whether the folder contains a model in the format of the demo model."""
    try:
        return "model_cfg" in read_json_object(folder / _CONFIG)
    except WeightsError:
        return False


def _read_config(file: Path) -> dict[str, Any]:
    """Read the configuration and check the fields that this module uses itself."""
    config = read_json_object(file)
    model = object_field(config, "model_cfg", file=file)
    for part in ("vision_cfg", "text_cfg"):
        object_field(model, f"model_cfg.{part}", file=file)
    preprocessing = object_field(config, "preprocess_cfg", file=file)
    for key in ("mean", "std"):
        three_numbers(preprocessing.get(key), f"preprocess_cfg.{key}", source=file)
    for key, words in (
        ("nouns", config.get("nouns")),
        ("other_words", config.get("other_words", [])),
    ):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise not_usable(file, f"expected {key} to be a list of strings")
    if not isinstance(config.get("sha256"), str):
        raise not_usable(file, "expected sha256 to be the digest of the weights")
    return config


def _read_weights(file: Path, expected: str) -> dict[str, torch.Tensor]:
    """Read the tensors of a file, after its SHA-256 was compared with the expected one."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = file.read_bytes()
    except OSError as error:
        raise not_usable(file, error) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise not_usable(file, f"expected SHA-256 {expected}, but got {digest}")
    try:
        return load(data)
    except SafetensorError as error:
        raise not_usable(file, error) from error
