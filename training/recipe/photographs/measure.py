"""What a model makes of photographs it has never seen: names, places, boxes."""

from __future__ import annotations

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.open_clip.model import read_open_clip
from clip_surgery.backbones.tower import Tower
from clip_surgery.surgery.walk import Features, walk, walk_two_paths
from recipe.config import Config
from recipe.data import MEAN, STD
from recipe.measure import PROMPT, encode_texts
from recipe.package import expanded_model
from recipe.photographs import layout as layouts
from recipe.photographs.concepts import Concepts
from recipe.photographs.paint import Canvas
from recipe.photographs.store import Photographs
from recipe.vocabulary import Vocabulary

PIECE = 100
"""Pictures walked at once."""


@torch.no_grad()
def photograph_figures(
    model: CLIP,
    config: Config,
    vocabulary: Vocabulary,
    concepts: Concepts,
    held_out: Photographs,
    count: int,
) -> dict[str, float]:
    """Figures on `count` held-out photographs.

    top-1: the right one of all names scores highest. collage pointing: on 2 x 2 collages, the peak
    of a name's map lies in its quarter (chance .25). box AUC: the map of the right name against the
    box, by pixels, beside the same of a centre prior. Maps of plain CLIP and of two paths.
    """
    texts = encode_texts(model, config, vocabulary, [PROMPT.format(n) for n in concepts.names])
    tower = read_open_clip(expanded_model(model, config, vocabulary.ids), name="in training").tower
    order = np.random.default_rng(0).permutation(len(held_out))[:count]
    rows = torch.from_numpy(order).to(held_out.classes.device)
    figures = _singles(tower, config, texts, held_out, rows)
    return figures | _quarters(tower, config, texts, held_out, rows)


def _singles(
    tower: Tower, config: Config, texts: Tensor, held_out: Photographs, rows: Tensor
) -> dict[str, float]:
    right: list[Tensor] = []
    areas: dict[str, list[Tensor]] = {"plain": [], "surgery": [], "centre": []}
    for chosen in rows.split(PIECE):
        pixels = painted(config, layouts.singles(len(chosen)), chosen[:, None], held_out)
        classes, boxes = held_out.classes[chosen], held_out.boxes[chosen]
        inside = boxed(boxes, config.model.image_size)
        for name, features in walks(tower, pixels):
            if name == "plain":
                scores = F.normalize(features.image.float(), dim=-1) @ texts.T
                right.append(scores.argmax(1) == classes)
            maps = maps_of(features, texts, config.model.image_size)
            own = maps[torch.arange(len(maps)), classes]
            areas[name].append(pixel_auc(own, inside))
        areas["centre"].append(pixel_auc(centre_prior(own), inside))
    figures = {f"{name} box AUC": mean(parts) for name, parts in areas.items()}
    return {"top-1": mean(right), **figures}


def _quarters(
    tower: Tower, config: Config, texts: Tensor, held_out: Photographs, rows: Tensor
) -> dict[str, float]:
    size = config.model.image_size
    quarter = torch.arange(size, device=rows.device) // (size // 2)
    owner = quarter[:, None] * 2 + quarter[None, :]
    hits: dict[str, list[Tensor]] = {"plain": [], "surgery": []}
    for chosen in rows[: len(rows) // 4 * 4].view(-1, 4).split(PIECE):
        pixels = painted(config, layouts.quarters(len(chosen)), chosen, held_out)
        classes = held_out.classes[chosen]  # (B, 4)
        alone = (classes[:, :, None] == classes[:, None, :]).sum(2) == 1
        for name, features in walks(tower, pixels):
            maps = maps_of(features, texts, size)
            own = maps.gather(1, classes[:, :, None, None].expand(-1, -1, size, size))
            peaks = own.flatten(2).argmax(2)  # (B, 4)
            found = owner.flatten()[peaks] == torch.arange(4, device=rows.device)
            hits[name].append(found[alone])
    return {f"{name} collage pointing": mean(parts) for name, parts in hits.items()}


def painted(
    config: Config, layout: layouts.Layout, chosen: Tensor, held_out: Photographs
) -> Tensor:
    """Normalised pixels (B, 3, S, S) of the chosen photographs (B, K) laid out."""
    canvas = Canvas(len(chosen), config.model.image_size, config.device)
    canvas.photographs(layout, chosen, held_out)
    mean_, std = (torch.tensor(v, device=canvas.pixels.device)[:, None, None] for v in (MEAN, STD))
    return (canvas.pixels.round() / 255 - mean_) / std


def walks(tower: Tower, pixels: Tensor) -> list[tuple[str, Features]]:
    """Plain CLIP's features and those of two paths over half of the blocks, as in the paper."""
    depth = len(tower.blocks) // 2
    return [("plain", walk(tower, pixels)), ("surgery", walk_two_paths(tower, pixels, depth=depth))]


def maps_of(features: Features, texts: Tensor, size: int) -> Tensor:
    """Cosine maps (B, C, size, size), bilinear."""
    similarity = F.normalize(features.patches.float(), dim=-1) @ texts.T  # (B, P, C)
    maps = similarity.transpose(1, 2).unflatten(2, (features.grid.rows, features.grid.columns))
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=False)


def boxed(boxes: Tensor, size: int) -> Tensor:
    """Pixels (B, size, size) bool inside boxes (B, 4) given in -1 to 1."""
    steps = ((torch.arange(size, device=boxes.device) + 0.5) / size) * 2 - 1
    across = (steps >= boxes[:, :1]) & (steps < boxes[:, 2:3])  # (B, S)
    down = (steps >= boxes[:, 1:2]) & (steps < boxes[:, 3:])
    return down[:, :, None] & across[:, None, :]


def centre_prior(like: Tensor) -> Tensor:
    """Scores (B, S, S) that fall with the distance from the middle."""
    size = like.shape[-1]
    steps = ((torch.arange(size, device=like.device) + 0.5) / size) * 2 - 1
    return -(steps[:, None] ** 2 + steps[None, :] ** 2).expand_as(like)


def pixel_auc(scores: Tensor, inside: Tensor) -> Tensor:
    """Area under the ROC curve of maps (B, S, S); those whose box is everything are left out."""
    truth = inside.flatten(1)
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranked = truth.gather(1, order).float()
    found = ranked.cumsum(1)
    positives, negatives = truth.sum(1), (~truth).sum(1)
    some = (positives > 0) & (negatives > 0)
    areas = (found * (1 - ranked)).sum(1) / (positives * negatives).clamp(min=1)
    return areas[some]


def mean(parts: list[Tensor]) -> float:
    """The mean over all parts; 0 where there is nothing."""
    whole = torch.cat(parts).float()
    return float(whole.mean()) if len(whole) else 0.0
