"""How well a model's maps find the objects of held-out scenes: plain CLIP and the surgeries.

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
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.features import cosine, feature_surgery
from clip_surgery.surgery.walk import walk, walk_two_paths
from recipe.config import Config
from recipe.data import MEAN, STD
from recipe.measure import PROMPT, encode_texts, validation
from recipe.package import expanded_model
from recipe.vocabulary import Vocabulary

SCENES = 100
THRESHOLDS = np.linspace(0, 1, 41)
TOP = 0.1
"""Share of a map's patches that the noise share compares."""


@torch.no_grad()
def localisation(model: CLIP, config: Config, vocabulary: Vocabulary) -> dict[str, float]:
    """Figures of three kinds of maps, as shares from 0 to 1.

    "plain ..." is plain CLIP, "surgery ..." is architecture surgery of all blocks, "both ..." is
    architecture surgery with feature surgery over all labels.
    """
    samples = validation(config.model.image_size, config.scene_nouns)[:SCENES]
    texts = encode_texts(model, config, vocabulary, [PROMPT.format(n) for n in config.scene_nouns])
    # The tower only is walked; the full vocabulary is what the library expects of a CLIP.
    tower = read_open_clip(expanded_model(model, config, vocabulary.ids), name="in training").tower
    figures: dict[str, float] = {}
    found: dict[str, list[tuple[float, ...]]] = {}
    noise: dict[str, list[float]] = {}
    peaks: dict[str, list[Tensor]] = {"image": []}
    present = torch.zeros(len(samples), len(texts), dtype=torch.bool)
    for row, sample in enumerate(samples):
        visible = sorted(set(sample.mask[sample.mask >= 0].tolist()))
        present[row, visible] = True
        plain = walk(tower, normalised(sample).to(config.device))
        two_paths = walk_two_paths(
            tower, normalised(sample).to(config.device), depth=len(tower.blocks)
        )
        scores = cosine(plain.image, texts)  # (1, C)
        repaired = cosine(two_paths.patches, texts)  # (1, P, C)
        peaks["image"].append(scores[0])
        for name, similarity in (
            ("plain", cosine(plain.patches, texts)),
            ("surgery", repaired),
            ("both", feature_surgery(repaired, scores)),
        ):
            maps = enlarged(similarity, plain.grid, sample.mask.shape)
            own = found.setdefault(name, [])
            own.extend(judge(maps[index], sample.mask == index) for index in visible)
            noise.setdefault(name, []).extend(noise_shares(similarity[0].T, present[row]))
            peaks.setdefault(name, []).append(similarity[0].amax(dim=0))
    for name, rows in found.items():
        contrast, opposite, hit, auc, precision, *ious = np.mean(rows, axis=0)
        figures |= {f"{name} mSC": contrast, f"{name} opposite": opposite}
        figures |= {f"{name} pointing": hit, f"{name} AUC": auc}
        figures |= {f"{name} AP": precision, f"{name} IoU": max(ious)}
        figures[f"{name} noise share"] = np.mean(noise[name])
    for name, rows_of_peaks in peaks.items():
        together = torch.stack(rows_of_peaks).cpu()
        figures[f"{name} presence"] = area_under_curve(together[present], together[~present])
    return {key: float(value) for key, value in figures.items()}


def noise_shares(maps: Tensor, present: Tensor) -> list[float]:
    """For each present label: the share of its map's highest tenth that is also in an absent one's.

    maps: (C, P). present: (C,) bool. The mean over absent labels; by chance it is the tenth.
    """
    count = max(1, round(TOP * maps.shape[1]))
    top = torch.zeros_like(maps).scatter_(1, maps.topk(count, dim=1).indices, 1.0)
    present = present.to(maps.device)
    overlap = top[present] @ top[~present].T / count  # (present, absent)
    return [float(share) for share in overlap.mean(dim=1)]


def area_under_curve(positives: Tensor, negatives: Tensor) -> float:
    """The probability that a positive scores higher than a negative; a tie counts half."""
    order = negatives.sort().values
    below = torch.searchsorted(order, positives, right=False)
    up_to = torch.searchsorted(order, positives, right=True)
    return float((below + up_to).double().mean() / 2 / len(order))


def normalised(sample: Sample) -> Tensor:
    """Pixels (1, 3, H, W) of a sample at its own size."""
    pixels = torch.from_numpy(np.array(sample.image)).permute(2, 0, 1)[None].float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def enlarged(similarity: Tensor, grid: PatchGrid, size_hw: tuple[int, ...]) -> NDArray[np.float64]:
    """Maps (C, H, W) of one picture from its similarity (1, P, C), bilinear, at its size."""
    maps = similarity[0].T.reshape(1, -1, grid.rows, grid.columns)
    size = (size_hw[0], size_hw[1])
    large = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return large[0].cpu().double().numpy()


def judge(scores: NDArray[np.float64], inside: NDArray[np.bool_]) -> tuple[float, ...]:
    """Contrast, whether it is negative, pointing hit, AUC, average precision, IoUs of one map.

    scores and inside are (H, W). Contrast, and IoU at each threshold, are of the map scaled to
    [0, 1].
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
    return (contrast, float(contrast < 0), float(hit), auc, precision, *ious)
