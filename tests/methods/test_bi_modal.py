"""Generic attention against its formula with whole relevance matrices."""

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.methods.bi_modal import BiModal
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
    score,
)


def naive_row(model, image, text, depth):
    """Class row of R over the last blocks, patches only."""
    tokens = embed(model, image)
    attentions = []
    for block in blocks_of(model):
        heads = heads_of(block, block.ln_1(tokens))
        attentions.append(attentions_of(heads))
        received = [a @ head["v"] for a, head in zip(attentions[-1], heads, strict=True)]
        tokens = finish(block, tokens, received)
    cosine = score(model, tokens, text)
    relevance = torch.eye(len(tokens), dtype=torch.float64)
    for of_heads in attentions[-depth:]:
        gradients = torch.autograd.grad(cosine, of_heads, retain_graph=True)
        products = [(g * a).relu() for g, a in zip(gradients, of_heads, strict=True)]
        relevance = relevance + sum(products) / len(products) @ relevance
    return relevance[0, 1:]


@pytest.mark.parametrize("depth", [1, 2, 4, 9])
def test_equals_the_formula_with_whole_matrices(depth):
    model, pixels, texts = double_model(), random_images(), labels()
    evidence = BiModal(depth=depth)(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        for column, text in enumerate(texts.labels):
            assert_same_map(evidence.patches[row, column], naive_row(model, image, text, depth))


def test_depth_below_one_is_refused():
    with pytest.raises(InputError, match="got 0"):
        BiModal(depth=0)
