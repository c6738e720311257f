"""The contrast of plain CLIP's maps on held-out scenes, computed on the device in one pass."""

from __future__ import annotations

import numpy as np
import torch
from open_clip.model import CLIP
from torch import Tensor
from torch.nn import functional as F

from recipe.config import Config
from recipe.data import patches_at
from recipe.measure import PROMPT, encode_texts, validation
from recipe.towers import embedded, through_block
from recipe.vocabulary import Vocabulary

SCENES = 100


class Contrast:
    """Mean score contrast and the share of opposite maps, over all visible objects.

    Both are those of `recipe.localisation.judge`, here of plain CLIP's maps only.
    """

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        self.config, self.vocabulary = config, vocabulary
        samples = validation(config.model.image_size, config.scene_nouns)[:SCENES]
        pixels = torch.from_numpy(np.stack([np.asarray(sample.image) for sample in samples]))
        self.patches = patches_at(pixels.to(config.device), config.model.patch_size)
        rows, labels, masks = [], [], []
        for row, sample in enumerate(samples):
            for label in sorted(set(sample.mask[sample.mask >= 0].tolist())):
                rows.append(row)
                labels.append(label)
                masks.append(sample.mask == label)
        self.rows = torch.tensor(rows, device=config.device)
        self.labels = torch.tensor(labels, device=config.device)
        self.inside = torch.from_numpy(np.stack(masks)).to(config.device)

    @torch.no_grad()
    def __call__(self, model: CLIP) -> tuple[float, float]:
        """Mean score contrast and share of opposite maps of a model."""
        config, visual = self.config, model.visual
        texts = encode_texts(
            model, config, self.vocabulary, [PROMPT.format(noun) for noun in config.scene_nouns]
        )
        tokens = embedded(model, self.patches)
        for block in visual.transformer.resblocks:
            tokens = through_block(block, tokens, causal=False)
        features = F.normalize(visual.ln_post(tokens[:, 1:]) @ visual.proj, dim=-1)
        similarity = (features[self.rows] * texts[self.labels][:, None]).sum(2)  # (objects, P)
        side = config.model.image_size // config.model.patch_size
        maps = F.interpolate(
            similarity.view(-1, 1, side, side),
            size=self.inside.shape[1:],
            mode="bilinear",
            align_corners=False,
        )[:, 0]
        contrast = contrasts(maps, self.inside)
        return float(contrast.mean()), float((contrast < 0).float().mean())


def contrasts(maps: Tensor, inside: Tensor) -> Tensor:
    """Mean inside minus mean outside (N,) of maps (N, H, W) scaled to [0, 1]; inside (N, H, W)."""
    flat, mask = maps.flatten(1), inside.flatten(1).float()
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    scaled = (flat - low) / (high - low).clamp(min=1e-12)
    within = (scaled * mask).sum(1) / mask.sum(1)
    return within - (scaled * (1 - mask)).sum(1) / (1 - mask).sum(1)
