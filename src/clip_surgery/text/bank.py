"""The feature of a text as the mean over prompt templates, computed once and cached on disk.

Each text is put into every template, each prompt is encoded and normalised, and the mean over the
templates is normalised again (Radford et al., arXiv 2103.00020, section 3.1.4; CLIP Surgery,
arXiv 2304.05653, uses 85 templates). The released code of CLIP Surgery encodes one text at a time
and every prompt at the full context length. Here prompts are encoded without padding, shared
prefixes are computed once (see prefixes), and features are read from the cache (see cache).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.inputs.texts import check_texts
from clip_surgery.text.cache import CacheFolder, TextCache
from clip_surgery.text.features import TextFeatures
from clip_surgery.text.prefixes import CHUNK_TOKENS, encode_prompts
from clip_surgery.text.templates import fill, resolve_templates

EMPTY = ""
_TOKENIZER_SAMPLE = "A photo of the 2 Cats, Straße & 犬"
_MAX_PROMPTS = 32768  # number of prompts that are tokenised at a time


def encode_texts(
    backbone: Backbone,
    texts: Iterable[str],
    *,
    templates: str | Sequence[str] = "clip_surgery",
    cache: TextCache | None = None,
    truncate: bool = False,
    chunk_tokens: int = CHUNK_TOKENS,
) -> TextFeatures:
    """Return the features of texts, and of the empty text, as means over templates.

    The features are differentiable with respect to the weights if the caller has enabled gradients.
    The cache is then neither read nor written, because cached features have no gradient. Call it
    under `torch.no_grad()` if no gradients are needed.

    Args:
        backbone: the model.
        texts: C texts.
        templates: name of a template set, one template, or several.
        cache: cache of features on disk; None computes all features.
        truncate: whether prompts over the context length are cut; otherwise they are refused.
        chunk_tokens: maximum number of tokens in memory at a time.

    Returns:
        Features of the texts in their order (C, D), of unit length, float32.

    Raises:
        InputError: if a text or template cannot be used, or a prompt is over the context length and
            `truncate` is False.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> features = encode_texts(load_backbone("demo"), ["bench", "person"])
        >>> features.texts, len(features.labels)
        (('bench', 'person'), 2)
    """
    checked_texts = check_texts(texts)
    sentences = resolve_templates(templates)
    cached = None
    if cache is not None and not _records_gradients(backbone):
        cached = cache.folder(
            fingerprint=f"{backbone.fingerprint()} {_sample_token_ids(backbone)}",
            templates=sentences,
            dtype=backbone.dtype,
            truncate=truncate,
        )
    features = _read(cached, (*checked_texts, EMPTY), backbone)
    missing = [text for text in (*checked_texts, EMPTY) if text not in features]
    batch_size = max(1, _MAX_PROMPTS // len(sentences))
    for begin in range(0, len(missing), batch_size):
        batch = missing[begin : begin + batch_size]
        means = _ensemble(backbone, batch, sentences, truncate=truncate, chunk_tokens=chunk_tokens)
        for text, feature in zip(batch, means, strict=True):
            features[text] = feature
            if cached is not None:
                cached.write(text, feature)
    if cached is not None and missing:
        cached.cache.delete_oldest()
    return TextFeatures(
        texts=checked_texts,
        labels=torch.stack([features[text] for text in checked_texts]),
        empty=features[EMPTY],
    )


def template_features(
    backbone: Backbone,
    texts: Iterable[str],
    *,
    templates: str | Sequence[str] = "imagenet",
    truncate: bool = False,
    chunk_tokens: int = CHUNK_TOKENS,
) -> Tensor:
    """Return the features of texts in each template on its own, from which experts are chosen.

    Args:
        backbone: the model.
        texts: C texts.
        templates: name of a template set, one template, or several.
        truncate: whether prompts over the context length are cut; otherwise they are refused.
        chunk_tokens: maximum number of tokens in memory at a time.

    Returns:
        (M, C, D) for M templates, of unit length, float32. Their mean over templates, normalised,
        is what `encode_texts` returns.

    Raises:
        InputError: if a text or template cannot be used, or a prompt is over the context length and
            `truncate` is False.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> backbone = load_backbone("demo")
        >>> template_features(backbone, ["bench", "person"], templates="small").shape[:2]
        torch.Size([7, 2])
    """
    checked_texts, sentences = check_texts(texts), resolve_templates(templates)
    batch_size = max(1, _MAX_PROMPTS // len(sentences))
    with torch.no_grad():
        parts = [
            _in_templates(
                backbone,
                checked_texts[begin : begin + batch_size],
                sentences,
                truncate=truncate,
                chunk_tokens=chunk_tokens,
            )
            for begin in range(0, len(checked_texts), batch_size)
        ]
    return torch.cat(parts).transpose(0, 1)


def _ensemble(
    backbone: Backbone,
    texts: Sequence[str],
    templates: Sequence[str],
    *,
    truncate: bool,
    chunk_tokens: int,
) -> Tensor:
    """Return the normalised means over M templates of L texts (L, D), always in float32."""
    features = _in_templates(
        backbone, texts, templates, truncate=truncate, chunk_tokens=chunk_tokens
    )
    return F.normalize(features.mean(dim=1), dim=-1)


def _in_templates(
    backbone: Backbone,
    texts: Sequence[str],
    templates: Sequence[str],
    *,
    truncate: bool,
    chunk_tokens: int,
) -> Tensor:
    """Return the unit features of L texts in M templates (L, M, D), always in float32."""
    tower = backbone.text_tower
    prompts = [fill(template, text) for text in texts for template in templates]
    ids = tower.tokenize(prompts, truncate=truncate).to(backbone.device)  # (L M, T)
    # A feature must not depend on the autocast of the caller that computes it first.
    with torch.autocast(backbone.device.type, enabled=False):
        features = encode_prompts(  # (L, M, D)
            tower, ids.view(len(texts), len(templates), -1), chunk_tokens=chunk_tokens
        )
    return F.normalize(features.float(), dim=-1)


def _read(
    cached: CacheFolder | None, texts: Sequence[str], backbone: Backbone
) -> dict[str, Tensor]:
    """Return the cached features of those texts that have one, on the device of the model."""
    if cached is None:
        return {}
    width = _joint_width(backbone)
    entries = {text: cached.read(text, width) for text in texts}
    return {
        text: feature.to(backbone.device)
        for text, feature in entries.items()
        if feature is not None
    }


def _joint_width(backbone: Backbone) -> int | None:
    """Return the joint width D from the projection of one token, or None.

    It is None for a text tower that can only be run as a whole: running it would cost what the
    cache saves.
    """
    tower = backbone.text_tower
    if tower.encode is not None:
        return None
    with torch.no_grad():
        token = tower.embed(torch.zeros(1, 1, dtype=torch.int64, device=backbone.device))
        return tower.project(token).shape[-1]


def _sample_token_ids(backbone: Backbone) -> list[int]:
    """Return the token ids of a fixed text, which differ between tokenizers.

    They are part of the cache key, because the weights do not determine the tokenizer.
    """
    tower = backbone.text_tower
    ids = tower.tokenize([_TOKENIZER_SAMPLE], truncate=True)
    return ids[0].tolist()


def _records_gradients(backbone: Backbone) -> bool:
    """Return whether features would be part of an autograd graph."""
    return torch.is_grad_enabled() and any(p.requires_grad for p in backbone.model.parameters())
