"""One set of SigLIP weights in open_clip (with timm's tower) and in transformers."""

from __future__ import annotations

from torch import Tensor, cat, nn

from tests.zoo import tiny_timm_siglip, tiny_transformers

_LAYERS = {"vision": 3, "text": 2}


def same_siglip() -> tuple[nn.Module, nn.Module]:
    """(open_clip model, transformers model)."""
    ours = tiny_timm_siglip()
    theirs = tiny_transformers("siglip", text={"hidden_act": "gelu"}, vision={"hidden_act": "gelu"})
    theirs.load_state_dict(siglip_weights(ours, theirs), strict=True)
    return ours, theirs


def siglip_weights(model: nn.Module, target: nn.Module) -> dict[str, Tensor]:
    """An open_clip SigLIP's weights under transformers' names; the scale stays the target's."""
    state = model.state_dict()
    trunk, vision = "visual.trunk", "vision_model"
    layers = {
        f"{trunk}.patch_embed.proj": f"{vision}.embeddings.patch_embedding",
        f"{trunk}.norm": f"{vision}.post_layernorm",
        f"{trunk}.attn_pool.proj": f"{vision}.head.attention.out_proj",
        f"{trunk}.attn_pool.norm": f"{vision}.head.layernorm",
        f"{trunk}.attn_pool.mlp.fc1": f"{vision}.head.mlp.fc1",
        f"{trunk}.attn_pool.mlp.fc2": f"{vision}.head.mlp.fc2",
        "text.ln_final": "text_model.final_layer_norm",
        "text.text_projection": "text_model.head",
    }
    named = {
        "logit_scale": target.logit_scale.data,
        "logit_bias": target.logit_bias.data,
        f"{vision}.embeddings.position_embedding.weight": state[f"{trunk}.pos_embed"][0],
        f"{vision}.head.probe": state[f"{trunk}.attn_pool.latent"],
        "text_model.embeddings.token_embedding.weight": state["text.token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["text.positional_embedding"],
    }
    pool = f"{trunk}.attn_pool"
    for kind in ("weight", "bias"):
        named[f"{vision}.head.attention.in_proj_{kind}"] = cat(
            [state[f"{pool}.q.{kind}"], state[f"{pool}.kv.{kind}"]]
        )
    fused = {}
    for index in range(_LAYERS["vision"]):
        block, layer = f"{trunk}.blocks.{index}", f"{vision}.encoder.layers.{index}"
        layers |= {
            f"{block}.norm1": f"{layer}.layer_norm1",
            f"{block}.norm2": f"{layer}.layer_norm2",
            f"{block}.attn.proj": f"{layer}.self_attn.out_proj",
            f"{block}.mlp.fc1": f"{layer}.mlp.fc1",
            f"{block}.mlp.fc2": f"{layer}.mlp.fc2",
        }
        fused[f"{block}.attn.qkv.{{}}"] = layer
    for index in range(_LAYERS["text"]):
        block, layer = f"text.transformer.resblocks.{index}", f"text_model.encoder.layers.{index}"
        layers |= {
            f"{block}.ln_1": f"{layer}.layer_norm1",
            f"{block}.ln_2": f"{layer}.layer_norm2",
            f"{block}.attn.out_proj": f"{layer}.self_attn.out_proj",
            f"{block}.mlp.c_fc": f"{layer}.mlp.fc1",
            f"{block}.mlp.c_proj": f"{layer}.mlp.fc2",
        }
        fused[f"{block}.attn.in_proj_{{}}"] = layer
    for kind in ("weight", "bias"):
        for source, name in layers.items():
            named[f"{name}.{kind}"] = state[f"{source}.{kind}"]
        for source, name in fused.items():
            for part, rows in zip("qkv", state[source.format(kind)].chunk(3), strict=True):
                named[f"{name}.self_attn.{part}_proj.{kind}"] = rows
    return named
