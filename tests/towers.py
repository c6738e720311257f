"""Tiny random models of the true classes, for every test that needs a tower.

`tiny_open_clip(visual={...}, text={...})` changes single settings of open_clip's configuration;
`same_weights()` gives one set of weights in both libraries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BPE_WORDS = 49408
START, END = 49406, 49407


def tiny_config(
    *, visual: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """open_clip's model_cfg: 32 px, patch 8, 4 blocks of 2 heads; text 3 blocks of 2 heads."""
    return {
        "embed_dim": 24,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "width": 32,
            "head_width": 16,
            "layers": 4,
            **(visual or {}),
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": BPE_WORDS,
            "width": 32,
            "heads": 2,
            "layers": 3,
            **(text or {}),
        },
        **changes,
    }


def tiny_open_clip(
    seed: int = 0,
    *,
    custom_text: bool = False,
    visual: dict[str, Any] | None = None,
    text: dict[str, Any] | None = None,
    **changes: Any,
) -> nn.Module:
    """A random open_clip `CLIP` (or `CustomTextCLIP`) in eval mode."""
    from open_clip import CLIP, CustomTextCLIP

    torch.manual_seed(seed)
    model = (CustomTextCLIP if custom_text else CLIP)(
        **tiny_config(visual=visual, text=text, **changes)
    )
    return shaken(model)


def tiny_hugging_face(seed: int = 0, *, end_token: int = END) -> nn.Module:
    """A random transformers `CLIPModel` of the same sizes, in eval mode."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 128}
    config = CLIPConfig(
        text_config={
            **sizes,
            "num_hidden_layers": 3,
            "vocab_size": BPE_WORDS,
            "max_position_embeddings": 77,
            "bos_token_id": START,
            "eos_token_id": end_token,
            "pad_token_id": END,
        },
        vision_config={**sizes, "num_hidden_layers": 4, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    return shaken(CLIPModel(config))


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


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that a library could change in a model: weights, their versions, hooks, mode."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "versions": [parameter._version for parameter in model.parameters()],
        "gradients": [parameter.grad is None for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(getattr(module, name)) for module in model.modules() for name in hooks],
        "attributes": [sorted(vars(module)) for module in model.modules()],
    }


def assert_same_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Compare two results of `state_of`."""
    weights = after["weights"]
    assert before["weights"].keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in before["weights"].items())
    for part in before.keys() - {"weights"}:
        assert before[part] == after[part], part


def shaken(model: nn.Module) -> nn.Module:
    """Random norms and biases too: with ones and zeros a forgotten one would go unseen."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            elif "attn.in_proj" in name or "_proj.weight" in name:
                parameter.mul_(2)
    return model.eval()


def clip_tokenizer() -> Any:
    """CLIP's own word pieces as a transformers tokenizer, built without any download."""
    from open_clip import SimpleTokenizer
    from transformers import CLIPTokenizer

    pieces = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(piece, piece): number for piece, number in pieces.encoder.items()}
    merges = [merge for merge in pieces.bpe_ranks if len(merge) == 2]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
