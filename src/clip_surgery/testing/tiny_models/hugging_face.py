"""Small models of transformers: CLIP and the families that are related to it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clip_surgery.testing.tiny_models.open_clip import BPE_WORDS, END, START
from clip_surgery.testing.tiny_models.randomise import randomise, rescale_matrices

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 128}


def tiny_hugging_face(seed: int = 0, *, end_token: int = END) -> nn.Module:
    """Return a random `CLIPModel` of the sizes of `tiny_open_clip`, in eval mode."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config={
            **SIZES,
            "num_hidden_layers": 3,
            "vocab_size": BPE_WORDS,
            "max_position_embeddings": 77,
            "bos_token_id": START,
            "eos_token_id": end_token,
            "pad_token_id": END,
        },
        vision_config={**SIZES, "num_hidden_layers": 4, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    return randomise(CLIPModel(config))


def tiny_transformers(
    kind: str,
    seed: int = 0,
    *,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
) -> nn.Module:
    """Return a random model of a model_type such as "siglip", "siglip2" or "altclip".

    Args:
        kind: the model_type.
        seed: seed of the weights.
        text: settings of the text configuration to change.
        vision: settings of the image configuration to change.
    """
    from transformers import AutoModel

    settings_of_text = {
        "siglip": {"projection_size": 32},
        "siglip2": {"projection_size": 32},
        "altclip": {"max_position_embeddings": 80, "project_dim": 24},
        "chinese_clip": {"max_position_embeddings": 77},
    }.get(kind, {})
    settings_of_vision = {"num_patches": 16} if kind == "siglip2" else {}
    config = _config(
        kind, {**settings_of_text, **(text or {})}, {**settings_of_vision, **(vision or {})}
    )
    if hasattr(config, "projection_dim"):
        config.projection_dim = 24
    torch.manual_seed(seed)
    model = AutoModel.from_config(config)
    rescale_matrices(model.text_model)
    return randomise(model)


def _config(kind: str, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(
        kind,
        text_config={
            **SIZES,
            "num_hidden_layers": 2,
            "vocab_size": BPE_WORDS,
            "max_position_embeddings": 16,
            "bos_token_id": START,
            "eos_token_id": END,
            "pad_token_id": 0,
            **text,
        },
        vision_config={
            **SIZES,
            "num_hidden_layers": 3,
            "image_size": 32,
            "patch_size": 8,
            **vision,
        },
    )
