"""In which block, and in which half of it, plain CLIP's maps become opposite.

The patch tokens after each half of a block are read as if they were the last ones: through the
final norm and the projection, against the texts of the labels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.grid import PatchGrid
from recipe.config import Config
from recipe.data import patches_at
from recipe.localisation import enlarged, judge
from recipe.measure import PROMPT, encode_texts, validation
from recipe.towers import attended, embedded
from recipe.vocabulary import Vocabulary

SCENES = 100
ABSENT = 8
"""Every so manieth absent label is compared."""


@torch.no_grad()
def contrast_by_block(
    model: CLIP, config: Config, vocabulary: Vocabulary
) -> list[dict[str, float]]:
    """For each block: mSC of present labels and the share of opposite maps, after either half.

    "absent mSC" is the contrast of the maps of absent labels at the same objects: where it is as
    low as that of the present ones, objects are dark for every text. "on object" and "on
    background" are the mean cosines of a present label there, less the mean over all labels.
    """
    samples = validation(config.model.image_size, config.scene_nouns)[:SCENES]
    texts = encode_texts(model, config, vocabulary, [PROMPT.format(n) for n in config.scene_nouns])
    pixels = torch.from_numpy(np.stack([np.asarray(sample.image) for sample in samples]))
    side = config.model.image_size // config.model.patch_size
    grid = PatchGrid(rows=side, columns=side)
    visual = model.visual
    rows: list[dict[str, float]] = []
    patches = patches_at(pixels.to(config.device), config.model.patch_size)
    for number, half, tokens in halves(model, patches):
        features = F.normalize(visual.ln_post(tokens[:, 1:]) @ visual.proj, dim=-1)
        present, absent, cosines = [], [], []
        for sample, similarity in zip(samples, features @ texts.T, strict=True):
            maps = enlarged(similarity[None], grid, sample.mask.shape)
            visible = set(sample.mask[sample.mask >= 0].tolist())
            others = [index for index in range(len(texts)) if index not in visible][::ABSENT]
            for index in sorted(visible):
                inside = sample.mask == index
                own = maps[index] - maps.mean(0)
                cosines.append((own[inside].mean(), own[sample.mask < 0].mean()))
                present.append(judge(maps[index], inside)[:2])
                absent.extend(judge(maps[other], inside)[0] for other in others)
        contrast, opposite = np.mean(present, axis=0)
        rows.append(
            {"block": number, "feed-forward": half, "mSC": float(contrast)}
            | {"opposite": float(opposite), "absent mSC": float(np.mean(absent))}
            | dict(
                zip(("on object", "on background"), np.mean(cosines, axis=0).tolist(), strict=True)
            )
        )
    return rows


def halves(model: CLIP, patches: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(block from 1, 0 after attention or 1 after the feed-forward part, tokens (B, 1 + P, E))."""
    tokens = embedded(model, patches)
    for number, block in enumerate(model.visual.transformer.resblocks, start=1):
        tokens = attended(block, tokens, causal=False)
        yield number, 0, tokens
        tokens = tokens + block.mlp(block.ln_2(tokens))
        yield number, 1, tokens
