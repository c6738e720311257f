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
    random_images,
    run,
    score,
)


def naive_weights(model, image, text):
    """(normed patch tokens, mean gradient of each channel) of the last block."""
    tokens = embed(model, image)
    *earlier, last = blocks_of(model)
    for block in earlier:
        tokens = run(block, tokens)
    normed = last.ln_1(tokens).detach().requires_grad_()
    heads = heads_of(last, normed)
    received = [a @ head["v"] for a, head in zip(attentions_of(heads), heads, strict=True)]
    cosine = score(model, finish(last, tokens, received), text)
    (gradient,) = torch.autograd.grad(cosine, normed)
    return normed[1:].detach(), gradient[1:].mean(dim=0)


def test_equals_the_formula():
    model, pixels, texts = double_model(), random_images(), labels()
    evidence = GradCam()(double_backbone(model), pixels, texts)
    assert evidence.similarity is None
    for row, image in enumerate(pixels):
        for column, text in enumerate(texts.labels):
            activations, weights = naive_weights(model, image, text)
            expected = torch.stack(
                [sum(w * a for w, a in zip(weights, patch, strict=True)) for patch in activations]
            ).relu()
            assert_same_map(evidence.patches[row, column], expected)


def test_a_tower_that_pools_its_patches_is_supported():
    """The image feature depends on all patches, and so does the gradient."""
    model = double_model(visual={"pool_type": "avg"})
    evidence = GradCam()(double_backbone(model), random_images(), labels())
    assert evidence.patches.std() > 0
