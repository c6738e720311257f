"""Rollout against the product of matrices written out."""

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
    pictures,
    run,
)


def test_against_the_product_of_matrices():
    model, pixels, texts = double_model(), pictures(), labels()
    with torch.no_grad():
        found = Rollout()(double_backbone(model), pixels, texts)
        for row, picture in enumerate(pixels):
            tokens = embed(model, picture)
            product = torch.eye(len(tokens), dtype=torch.float64)
            for block in blocks_of(model):
                attention = sum(attentions_of(heads_of(block, block.ln_1(tokens)))) / 2
                product = (0.5 * attention + 0.5 * torch.eye(len(tokens))) @ product
                tokens = run(block, tokens)
            torch.testing.assert_close(product.sum(dim=-1), torch.ones_like(product[0]))
            for column in range(len(texts.texts)):
                assert_same_map(found.patches[row, column], product[0, 1:])


def test_without_class_token_it_says_so():
    backbone = double_backbone(double_model(visual={"pool_type": "avg"}))
    with pytest.raises(UnsupportedModelError, match=r"rollout needs a class token.*work with.*gem"):
        Rollout()(backbone, pictures(), labels())
