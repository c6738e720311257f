"""The demo model as a Backbone."""

from __future__ import annotations

from typing import Any

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.demo.model import DemoClip
from clip_surgery.backbones.fingerprint import Fingerprint
from clip_surgery.backbones.patch_embedding import OPENAI_MEAN, OPENAI_STD
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.backbones.tokenizers import tokenizer_signature


def read_demo(
    model: DemoClip,
    *,
    name: str,
    mean: tuple[float, float, float] = OPENAI_MEAN,
    std: tuple[float, float, float] = OPENAI_STD,
    tokenizer: Any = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
) -> Backbone:
    """Return a Backbone over a demo model, which is only read.

    Args:
        model: the model.
        name: name of the backbone in reports.
        mean: mean of the three channels, for values in [0, 1].
        std: standard deviation of the three channels.
        tokenizer: a tokenizer of open_clip or transformers; None for CLIP's word pieces.
        image_size: side in pixels to frame images for; None for the model's native size.
        positions: how position embeddings are resized to other grids.

    Raises:
        InputError: if the vocabulary is not CLIP's and no tokenizer is given.
    """
    # The adapters read submodules by their names, which are those of open_clip's models.
    from clip_surgery.backbones.open_clip.text import read_text_tower, text_settings
    from clip_surgery.backbones.open_clip.vision import read_vision_transformer

    check_position_mode(positions)
    text_tower = read_text_tower(model, tokenizer)
    return Backbone(
        name=name,
        tower=read_vision_transformer(model.visual, positions),
        text_tower=text_tower,
        image_size=image_size or model.visual.image_size[0],
        image_mean=mean,
        image_std=std,
        logit_scale=model.logit_scale.detach().float().exp().item(),
        model=model,
        fingerprint=Fingerprint(
            model,
            skip=("visual.", "logit_"),
            settings=text_settings(model) + tokenizer_signature(text_tower.tokenize),
        ),
    )
