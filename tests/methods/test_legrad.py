"""LeGrad against its formula, block by block, head by head."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.methods.legrad import LeGrad
from tests.methods.naive import (
    assert_same_map,
    attentions_of,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    finish,
    heads_of,
    labels,
    random_images,
    to_joint,
)


def naive_map(model, image, text, depth):
    tokens = embed(model, image)
    blocks = blocks_of(model)
    total = torch.zeros(len(tokens) - 1, dtype=torch.float64)
    for index, block in enumerate(blocks):
        heads = heads_of(block, block.ln_1(tokens))
        attentions = attentions_of(heads)
        received = [a @ head["v"] for a, head in zip(attentions, heads, strict=True)]
        tokens = finish(block, tokens, received)
        if index < len(blocks) - depth:
            continue
        pooled = to_joint(model, tokens.mean(dim=0))
        cosine = F.cosine_similarity(pooled, text.double(), dim=0)
        gradients = torch.autograd.grad(cosine, attentions, retain_graph=True)
        total += torch.stack(gradients).relu().mean(dim=(0, 1))[1:]
    return total


@pytest.mark.parametrize("depth", [1, 2, 4, 9])
@pytest.mark.parametrize("pool_type", ["tok", "avg"])
def test_equals_the_formula(depth, pool_type):
    model = double_model(visual={"pool_type": pool_type})
    pixels, texts = random_images(), labels()
    evidence = LeGrad(depth=depth)(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        for column, text in enumerate(texts.labels):
            assert_same_map(evidence.patches[row, column], naive_map(model, image, text, depth))


def test_depth_below_one_is_refused():
    with pytest.raises(InputError, match="got 0"):
        LeGrad(depth=0)
