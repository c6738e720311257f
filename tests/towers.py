"""Small random models for tests of single towers, and tools to compare models.

The builders are part of the package, in `clip_surgery.testing`. `same_weights()` gives one set of
weights in open_clip and in transformers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clip_surgery.testing.model_state import model_state as state_of
from clip_surgery.testing.model_state import state_differences
from clip_surgery.testing.tiny_models.hugging_face import tiny_hugging_face
from clip_surgery.testing.tiny_models.open_clip import (
    BPE_WORDS,
    END,
    START,
    tiny_config,
    tiny_open_clip,
)

__all__ = [
    "BPE_WORDS",
    "END",
    "START",
    "assert_same_state",
    "clip_tokenizer",
    "hugging_face_weights",
    "same_weights",
    "state_of",
    "tiny_config",
    "tiny_hugging_face",
    "tiny_open_clip",
    "token_ids",
]


def same_weights(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """(open_clip model, transformers model) with the same weights."""
    ours, theirs = tiny_open_clip(seed), tiny_hugging_face(seed)
    theirs.load_state_dict(hugging_face_weights(ours), strict=True)
    return ours, theirs


def hugging_face_weights(model: nn.Module) -> dict[str, Tensor]:
    """An open_clip CLIP's state dict under transformers' names."""
    state = model.state_dict()
    named = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    for side, tower, layers in (("visual.", "vision_model", 4), ("", "text_model", 3)):
        for index in range(layers):
            block = f"{side}transformer.resblocks.{index}"
            layer = f"{tower}.encoder.layers.{index}"
            norms |= {
                f"{block}.ln_1": f"{layer}.layer_norm1",
                f"{block}.ln_2": f"{layer}.layer_norm2",
                f"{block}.attn.out_proj": f"{layer}.self_attn.out_proj",
                f"{block}.mlp.c_fc": f"{layer}.mlp.fc1",
                f"{block}.mlp.c_proj": f"{layer}.mlp.fc2",
            }
            for kind in ("weight", "bias"):
                parts = state[f"{block}.attn.in_proj_{kind}"].chunk(3)
                for part, rows in zip("qkv", parts, strict=True):
                    named[f"{layer}.self_attn.{part}_proj.{kind}"] = rows
    for source, target in norms.items():
        for kind in ("weight", "bias"):
            named[f"{target}.{kind}"] = state[f"{source}.{kind}"]
    return named


def token_ids() -> Tensor:
    """Three texts of 3, 6 and 77 tokens, padded with zeros: (3, 77)."""
    ids = torch.zeros(3, 77, dtype=torch.int64)
    for row, length in zip(ids, (3, 6, 77), strict=True):
        row[:length] = torch.randint(1, 40_000, (length,), generator=torch.Generator())
        row[0], row[length - 1] = START, END
    return ids


def assert_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Compare two results of `state_of`."""
    assert state_differences(before, after) == []


def clip_tokenizer() -> Any:
    """CLIP's own word pieces as a transformers tokenizer, built without any download."""
    from open_clip import SimpleTokenizer
    from transformers import CLIPTokenizer

    pieces = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(piece, piece): number for piece, number in pieces.encoder.items()}
    merges = [merge for merge in pieces.bpe_ranks if len(merge) == 2]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
