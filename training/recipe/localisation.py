"""How well a model's maps find the objects of held-out scenes: plain CLIP and two paths.

The log's own short measure, on the image tower as the library walks it; the published numbers come
from `clip-surgery evaluate scenes`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.open_clip.model import read_open_clip
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.surgery.walk import Features, walk, walk_two_paths
from recipe.config import Config
from recipe.data import MEAN, STD
from recipe.measure import PROMPT, encode_texts, validation
from recipe.package import expanded_model
from recipe.vocabulary import Vocabulary

SCENES = 100
THRESHOLDS = np.linspace(0, 1, 41)


@torch.no_grad()
def localisation(model: CLIP, config: Config, vocabulary: Vocabulary) -> dict[str, float]:
    """Figures of plain CLIP's maps ("plain ...") and of the two-path maps ("surgery ...")."""
    samples = validation(config.model.image_size, config.scene_nouns)[:SCENES]
    texts = encode_texts(model, config, vocabulary, [PROMPT.format(n) for n in config.scene_nouns])
    # The tower only is walked; the full vocabulary is what the library expects of a CLIP.
    tower = read_open_clip(expanded_model(model, config, vocabulary.ids), name="in training").tower
    figures: dict[str, float] = {}
    found: dict[str, list[tuple[float, ...]]] = {"plain": [], "surgery": []}
    for sample in samples:
        pixels = normalised(sample).to(config.device)
        for name, features in (
            ("plain", walk(tower, pixels)),
            ("surgery", walk_two_paths(tower, pixels, depth=len(tower.blocks))),
        ):
            maps = enlarged(features, texts, sample.mask.shape)
            for index in sorted(set(sample.mask[sample.mask >= 0].tolist())):
                found[name].append(judge(maps[index], sample.mask == index))
    for name, rows in found.items():
        contrast, hit, auc, precision, *ious = np.mean(rows, axis=0)
        figures |= {f"{name} mSC": contrast, f"{name} pointing": hit, f"{name} AUC": auc}
        figures |= {f"{name} AP": precision, f"{name} IoU": max(ious)}
    return {key: float(value) for key, value in figures.items()}


def normalised(sample: Sample) -> Tensor:
    """Pixels (1, 3, H, W) of a sample at its own size."""
    pixels = torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def enlarged(features: Features, texts: Tensor, size_hw: tuple[int, ...]) -> NDArray[np.float64]:
    """Cosine maps (C, H, W) of one image, bilinear, at the image's size."""
    similarity = F.normalize(features.patches[0], dim=-1) @ texts.T  # (P, C)
    maps = similarity.T.reshape(1, -1, features.grid.rows, features.grid.columns)
    size = (size_hw[0], size_hw[1])
    large = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return large[0].cpu().double().numpy()


def judge(scores: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[float, ...]:
    """Contrast, pointing hit, pixel AUC, average precision and IoU at each threshold of one map.

    scores and inside are (H, W); contrast and IoU are of the map scaled to [0, 1].
    """
    low, high = scores.min(), scores.max()
    scaled = (scores - low) / max(high - low, 1e-12)
    contrast = scaled[inside].mean() - scaled[~inside].mean()
    hit = inside.flat[scores.argmax()]
    truth = inside.ravel()[np.argsort(-scores, axis=None, kind="stable")]
    found = truth.cumsum()
    precision = (found / np.arange(1, len(truth) + 1))[truth].mean()
    positives, negatives = truth.sum(), (~truth).sum()
    auc = found[~truth].sum() / (positives * negatives)
    ious = []
    for threshold in THRESHOLDS:
        chosen = scaled >= threshold
        ious.append((chosen & inside).sum() / (chosen | inside).sum())
    return (contrast, float(hit), auc, precision, *ious)
