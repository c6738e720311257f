"""Text bank: a label's feature as the mean of many prompts, computed once and kept.

Each label is put into every template; each prompt is encoded and brought to unit length; the mean
over the templates is brought to unit length again (Radford et al., arXiv 2103.00020, section 3.1.4;
CLIP Surgery, arXiv 2304.05653, uses 85 templates). The released code encodes one label at a time
and every prompt at the full context length; here prompts run without padding and share what they
begin with (text_prefixes), and what was computed before comes from disk (text_cache).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.inputs.texts import check_texts
from clip_surgery.text.cache import Shelf, TextCache
from clip_surgery.text.features import TextFeatures
from clip_surgery.text.prefixes import CHUNK_TOKENS, encode_prompts
from clip_surgery.text.templates import fill, resolve_templates

EMPTY = ""
_SAMPLE = "A photo of the 2 Cats, Straße & 犬"
_PROMPTS_AT_A_TIME = 32768


def encode_texts(
    backbone: Backbone,
    texts: Iterable[str],
    *,
    templates: str | Sequence[str] = "clip_surgery",
    cache: TextCache | None = None,
    truncate: bool = False,
    chunk_tokens: int = CHUNK_TOKENS,
) -> TextFeatures:
    """Encode labels, and the empty text beside them, as the mean over templates.

    Gradients flow to the text tower when the caller records them; the cache is then neither read
    nor written, because what comes from disk has no gradient. Call under `torch.no_grad()` when
    none are wanted.

    Args:
        backbone: the model.
        texts: C labels; C unit-length rows (C, D), float32, come back in their order.
        templates: a template set's name, one template, or several.
        cache: where features are kept between runs; None computes all of them.
        truncate: cut a prompt that is over the context length instead of refusing it.
        chunk_tokens: how many tokens may be in memory at a time.

    Raises:
        InputError: for texts or templates that cannot be used, and for a prompt over the context
            length unless `truncate`.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> features = encode_texts(load_backbone("demo"), ["bench", "person"])
        >>> features.texts, len(features.labels)
        (('bench', 'person'), 2)
    """
    labels = check_texts(texts)
    sentences = resolve_templates(templates)
    shelf = None
    if cache is not None and not _records_gradients(backbone):
        shelf = cache.shelf(
            fingerprint=f"{backbone.fingerprint()} {_tokens_of_a_sample(backbone)}",
            templates=sentences,
            dtype=backbone.dtype,
            truncate=truncate,
        )
    wanted = (*labels, EMPTY)
    found = _read(shelf, wanted, backbone)
    missing = [text for text in wanted if text not in found]
    at_a_time = max(1, _PROMPTS_AT_A_TIME // len(sentences))
    for begin in range(0, len(missing), at_a_time):
        part = missing[begin : begin + at_a_time]
        means = _ensemble(backbone, part, sentences, truncate=truncate, chunk_tokens=chunk_tokens)
        for text, feature in zip(part, means, strict=True):
            found[text] = feature
            if shelf is not None:
                shelf.write(text, feature)
    return TextFeatures(
        texts=labels, labels=torch.stack([found[text] for text in labels]), empty=found[EMPTY]
    )


def _ensemble(
    backbone: Backbone,
    texts: Sequence[str],
    templates: Sequence[str],
    *,
    truncate: bool,
    chunk_tokens: int,
) -> Tensor:
    """Unit-length means over the templates (L, D), in float32 whatever the weights are."""
    tower = backbone.text_tower
    prompts = [fill(template, text) for text in texts for template in templates]
    ids = tower.tokenize(prompts, truncate=truncate).to(backbone.device)  # (L M, T)
    # A feature must not depend on the autocast of the caller that computes it first.
    with torch.autocast(backbone.device.type, enabled=False):
        features = encode_prompts(  # (L, M, D)
            tower, ids.view(len(texts), len(templates), -1), chunk_tokens=chunk_tokens
        )
    return F.normalize(F.normalize(features.float(), dim=-1).mean(dim=1), dim=-1)


def _read(shelf: Shelf | None, texts: Sequence[str], backbone: Backbone) -> dict[str, Tensor]:
    """What the shelf holds of the texts, on the backbone's device."""
    if shelf is None:
        return {}
    width = _joint_width(backbone)
    found = {text: shelf.read(text, width) for text in texts}
    return {
        text: feature.to(backbone.device) for text, feature in found.items() if feature is not None
    }


def _joint_width(backbone: Backbone) -> int:
    """D, by projecting one token, or one text where tokens cannot be read."""
    tower = backbone.text_tower
    with torch.no_grad():
        if tower.encode is not None:
            return tower.encode(tower.tokenize([EMPTY]).to(backbone.device)).shape[-1]
        token = tower.embed(torch.zeros(1, 1, dtype=torch.int64, device=backbone.device))
        return tower.project(token).shape[-1]


def _tokens_of_a_sample(backbone: Backbone) -> list[int]:
    """What gives another tokenizer away: the weights alone do not say which one feeds them."""
    tower = backbone.text_tower
    ids = tower.tokenize([_SAMPLE], truncate=True)
    return ids[0].tolist()


def _records_gradients(backbone: Backbone) -> bool:
    return torch.is_grad_enabled() and any(p.requires_grad for p in backbone.model.parameters())
