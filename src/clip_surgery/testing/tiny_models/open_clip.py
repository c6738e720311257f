"""Small models of open_clip's own towers: ViT, ResNet and CoCa."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from clip_surgery.testing.tiny_models.randomise import randomise, randomise_statistics

BPE_WORDS = 49408
"""Number of word pieces of CLIP's tokenizer."""
START, END = 49406, 49407
"""Token ids of the start and of the end of a text in CLIP's tokenizer."""
SHORT_TEXT = {"context_length": 16, "vocab_size": BPE_WORDS, "width": 32, "heads": 2, "layers": 2}
"""open_clip's text_cfg of the models that have only 16 tokens of context."""


def tiny_config(
    *, visual: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return open_clip's model_cfg of a model with images of 32 px and patches of 8 px.

    The image tower has 4 blocks of 2 heads, the text tower 3 blocks of 2 heads.

    Args:
        visual: settings of `vision_cfg` to change.
        text: settings of `text_cfg` to change.
        changes: other settings to add or change.
    """
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
    """Return a random open_clip `CLIP` (or `CustomTextCLIP`) in eval mode.

    Args:
        seed: seed of the weights.
        custom_text: whether to build a `CustomTextCLIP`.
        visual: settings of `vision_cfg` to change, see `tiny_config`.
        text: settings of `text_cfg` to change.
        changes: other settings of the model to add or change.
    """
    from open_clip import CLIP, CustomTextCLIP

    torch.manual_seed(seed)
    model = (CustomTextCLIP if custom_text else CLIP)(
        **tiny_config(visual=visual, text=text, **changes)
    )
    return randomise(model)


def tiny_resnet(seed: int = 0, *, image_size: int = 64, heads: int = 4) -> nn.Module:
    """Return a random open_clip `CLIP` with a `ModifiedResNet`.

    It has one bottleneck in each stage and an attention pool of 2 x 2 positions, 128 wide.
    """
    visual = {"layers": [1, 1, 1, 1], "width": 4, "image_size": image_size, "patch_size": None}
    model = tiny_open_clip(seed, visual={**visual, "head_width": 4 * 32 // heads})
    return randomise_statistics(model, seed)


def tiny_coca(seed: int = 0, **visual: Any) -> nn.Module:
    """Return a random open_clip `CoCa`: learnt queries pool the image, a class token the text."""
    from open_clip import CoCa

    torch.manual_seed(seed)
    text = {**SHORT_TEXT, "embed_cls": True, "output_tokens": True}
    vision = {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True, **visual}
    config = tiny_config(visual=vision)["vision_cfg"]
    decoder = {**SHORT_TEXT, "layers": 1, "dim_head": 16}
    model = CoCa(24, decoder, text, config)
    # open_clip leaves this one as allocated, which may hold NaN.
    nn.init.normal_(model.text_decoder.text_projection, std=0.2)
    return randomise(model)
