"""Decomposition of images with an explainer, and its quality on scenes with the demo model."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.inputs.images import read_image
from clip_surgery.surgery.walk import walk


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo", templates="photo", cache=False)


@pytest.mark.parametrize("size", [(96, 128), (33, 200), (8, 8), (1, 1)])
@pytest.mark.parametrize("flat", [True, False])
def test_contributions_add_up_for_images_of_every_shape(explainer, size, flat):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = np.full_like(noise, 127) if flat else noise
    parts = cs.decompose(explainer, image)
    with torch.no_grad():
        own = walk(explainer.backbone.tower, explainer.pixels(read_image(image))).image[0]
    torch.testing.assert_close(parts.total(), own, atol=1e-5, rtol=0)
    assert not parts.heads.requires_grad


def test_heads_and_not_feed_forward_networks_carry_the_objects(explainer):
    """Mean ablation on scenes: the finding of the paper; docs/guides/decompose.md has numbers."""
    scenes = SceneDataset(seed=2_600_011, count=30)
    texts = explainer.encode(scenes.names).labels
    decomposed = [cs.decompose(explainer, scene.image) for scene in scenes]
    means = cs.mean_contributions(decomposed)
    blocks, heads = decomposed[0].heads.shape[:2]
    every_head = [(block, head) for block in range(blocks) for head in range(heads)]

    def present_first(**replaced):
        features = [parts.with_means(means, **replaced) for parts in decomposed]
        best = [scenes.names[int((texts @ feature).argmax())] for feature in features]
        hits = [name in scene.present for name, scene in zip(best, scenes, strict=True)]
        return sum(hits) / len(hits)

    assert present_first() >= 0.95
    assert present_first(feed_forward=range(blocks)) >= 0.85
    assert present_first(heads=every_head) <= 0.4
