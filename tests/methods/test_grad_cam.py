"""Grad-CAM against its formula, one image, text and patch at a time."""

import torch

from clip_surgery.methods.grad_cam import GradCam
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
    pictures,
    run,
    score,
)


def naive_weights(model, picture, text):
    """(normed patch tokens, mean gradient of each channel) of the last block."""
    tokens = embed(model, picture)
    *earlier, last = blocks_of(model)
    for block in earlier:
        tokens = run(block, tokens)
    normed = last.ln_1(tokens).detach().requires_grad_()
    heads = heads_of(last, normed)
    received = [a @ head["v"] for a, head in zip(attentions_of(heads), heads, strict=True)]
    cosine = score(model, finish(last, tokens, received), text)
    (gradient,) = torch.autograd.grad(cosine, normed)
    return normed[1:].detach(), gradient[1:].mean(dim=0)


def test_against_the_formula():
    model, pixels, texts = double_model(), pictures(), labels()
    found = GradCam()(double_backbone(model), pixels, texts)
    assert found.similarity is None
    for row, picture in enumerate(pixels):
        for column, text in enumerate(texts.labels):
            activations, weights = naive_weights(model, picture, text)
            expected = torch.stack(
                [sum(w * a for w, a in zip(weights, patch, strict=True)) for patch in activations]
            ).relu()
            assert_same_map(found.patches[row, column], expected)


def test_a_tower_that_pools_its_patches_works_too():
    """There the rows of all patches are read; the gradient then counts every one of them."""
    model = double_model(visual={"pool_type": "avg"})
    found = GradCam()(double_backbone(model), pictures(), labels())
    assert found.patches.std() > 0
