"""open_clip's own CLIP, built small, and its optimiser."""

from __future__ import annotations

import math

import torch
from open_clip.model import CLIP

from recipe.config import Config, Model

HEAD_WIDTH = 64


def model_config(model: Model, vocabulary_size: int, positions: int) -> dict[str, object]:
    """The `model_cfg` of open_clip for these sizes."""
    return {
        "embed_dim": model.joint_width,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": model.image_size,
            "patch_size": model.patch_size,
            "width": model.width,
            "layers": model.layers,
            "head_width": HEAD_WIDTH,
        },
        "text_cfg": {
            "context_length": positions,
            "vocab_size": vocabulary_size,
            "width": model.text_width,
            "heads": model.text_width // HEAD_WIDTH,
            "layers": model.text_layers,
        },
    }


def build(config: Config, vocabulary_size: int) -> CLIP:
    """A CLIP with fresh weights, the compact vocabulary and as many positions as are trained."""
    torch.manual_seed(config.seed)
    sizes = model_config(config.model, vocabulary_size, config.model.positions)
    return CLIP(**sizes, init_logit_scale=math.log(config.first_scale)).to(config.device)


def optimiser(model: CLIP, config: Config) -> torch.optim.AdamW:
    """AdamW; no weight decay on norms, biases, embeddings and the temperature."""
    decayed, kept = [], []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or "embedding" in name
        (kept if plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=1e-6, fused=True)
