"""The models of `gpu.py`, with random weights, the whole image tower and one text block."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from torch import nn

MODELS = {"B": "ViT-B-16", "L": "ViT-L-14", "H": "ViT-H-14"}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"layers": 8, "width": 64, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"layers": 1, "width": 32, "heads": 2, "context_length": 8},
}


def config_of(name: str) -> dict[str, Any]:
    """Return the configuration of a model, with one text block: only the image tower is run."""
    config = TINY if name == "tiny" else open_clip.get_model_config(MODELS[name])
    return {
        **{key: config[key] for key in ("embed_dim", "vision_cfg")},
        "text_cfg": {**config["text_cfg"], "layers": 1},
    }


def patch_of(name: str) -> int:
    return int(config_of(name)["vision_cfg"]["patch_size"])


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    return open_clip.CLIP(**config_of(name)).eval()


def set_size(model: Any, px: int, patch: int) -> None:
    """Set the position embeddings to a size, as the forward pass of open_clip requires."""
    visual = model.visual
    tokens = (px // patch) ** 2 + 1
    if visual.positional_embedding.shape[0] != tokens:
        old = visual.positional_embedding
        visual.positional_embedding = nn.Parameter(0.02 * old.new_ones(tokens, old.shape[1]))
    visual.image_size = (px, px)
    visual.grid_size = (px // patch, px // patch)
