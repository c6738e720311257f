"""What the log reports besides the loss: retrieval of held-out captions, precision of labels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor

from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from recipe.config import Config
from recipe.data import patches_at
from recipe.towers import image_features, text_features
from recipe.vocabulary import Vocabulary

VALIDATION_SEED = 1_000_003
"""Not the seed of the published evaluation: nothing is tuned on those scenes."""
CAPTIONS = 256
PROMPT = "a photo of a {}."


@lru_cache(maxsize=1)
def validation(size: int, nouns: tuple[str, ...], count: int = CAPTIONS) -> tuple[Sample, ...]:
    """Held-out scenes of this size and these nouns."""
    return tuple(SceneDataset(seed=VALIDATION_SEED, count=count, size=size, names=nouns))


@torch.no_grad()
def retrieval(model: CLIP, config: Config, vocabulary: Vocabulary) -> dict[str, float]:
    """Retrieval and label precision on held-out scenes.

    retrieval: share of scenes whose own caption scores highest of all. label_precision: share of
    the k highest labels that are in the picture, k the number that are.
    """
    samples = validation(config.model.image_size, config.scene_nouns)
    images = encode_pictures(model, config, samples)
    captions = encode_texts(model, config, vocabulary, [sample.caption or "" for sample in samples])
    own = torch.arange(len(samples), device=images.device)
    found = (images @ captions.T).argmax(1) == own
    labels = encode_texts(model, config, vocabulary, [PROMPT.format(n) for n in config.scene_nouns])
    scores = images @ labels.T
    hits = total = 0
    for row, sample in zip(scores, samples, strict=True):
        highest = row.topk(len(sample.present)).indices.tolist()
        hits += len(sample.present & {config.scene_nouns[index] for index in highest})
        total += len(sample.present)
    return {"retrieval": float(found.float().mean()), "label_precision": hits / total}


def encode_pictures(model: CLIP, config: Config, samples: tuple[Sample, ...]) -> Tensor:
    """Unit features (B, D) of whole pictures, in pieces of 64."""
    pixels = torch.from_numpy(np.stack([np.asarray(sample.image) for sample in samples]))
    features = []
    for piece in pixels.to(config.device).split(64):
        features.append(image_features(model, patches_at(piece, config.model.patch_size)))
    return torch.cat(features)


def encode_texts(model: CLIP, config: Config, vocabulary: Vocabulary, texts: list[str]) -> Tensor:
    """Unit features (C, D) of texts."""
    tokens, ends = vocabulary.encode(texts)
    return text_features(model, tokens.to(config.device), ends.to(config.device))
