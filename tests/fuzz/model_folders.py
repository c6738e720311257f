"""Folders with small models in each format that is read from local files."""

import hashlib
import json

import torch
from safetensors.torch import save_file

from tests.towers import tiny_config, tiny_open_clip

PREPROCESSING = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.25]}


def open_clip_safetensors(folder):
    """Write a folder of open_clip with weights in safetensors format."""
    save_file(tiny_open_clip().state_dict(), folder / "open_clip_model.safetensors")
    config = {"model_cfg": tiny_config(), "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def open_clip_torch(folder):
    """Write a folder of open_clip with weights that `torch.save` wrote."""
    torch.save(tiny_open_clip().state_dict(), folder / "open_clip_pytorch_model.bin")
    config = {"model_cfg": tiny_config(), "preprocess_cfg": PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def demo(folder):
    """Write a folder in the format of the demo model."""
    weights = folder / "model.safetensors"
    save_file(tiny_open_clip().state_dict(), weights)
    config = {
        "model_cfg": tiny_config(),
        "preprocess_cfg": {"size": [32, 32], **PREPROCESSING},
        "nouns": ["cat", "tree"],
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config))


FILES = {
    ("open_clip_safetensors", "open_clip_config.json"): open_clip_safetensors,
    ("open_clip_safetensors", "open_clip_model.safetensors"): open_clip_safetensors,
    ("open_clip_torch", "open_clip_pytorch_model.bin"): open_clip_torch,
    ("demo", "config.json"): demo,
    ("demo", "model.safetensors"): demo,
}
"""The file to damage, by format and name, and what writes its folder."""
