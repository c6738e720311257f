"""Rollout compared with the product of whole matrices."""

import pytest
import torch

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.rollout import Rollout
from tests.methods.naive import (
    assert_same_map,
    attentions_of,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    labels,
    random_images,
    run,
)


def test_equals_the_product_of_matrices():
    model, pixels, texts = double_model(), random_images(), labels()
    with torch.no_grad():
        evidence = Rollout()(double_backbone(model), pixels, texts)
        for row, image in enumerate(pixels):
            tokens = embed(model, image)
            product = torch.eye(len(tokens), dtype=torch.float64)
            for block in blocks_of(model):
                attention = sum(attentions_of(heads_of(block, block.ln_1(tokens)))) / 2
                product = (0.5 * attention + 0.5 * torch.eye(len(tokens))) @ product
                tokens = run(block, tokens)
            torch.testing.assert_close(product.sum(dim=-1), torch.ones_like(product[0]))
            for column in range(len(texts.texts)):
                assert_same_map(evidence.patches[row, column], product[0, 1:])


def test_a_tower_without_class_token_is_refused():
    backbone = double_backbone(double_model(visual={"pool_type": "avg"}))
    with pytest.raises(UnsupportedModelError, match=r"rollout needs a class token.*work with.*gem"):
        Rollout()(backbone, random_images(), labels())
