"""Grad-ECLIP against its formula, one channel at a time."""

import torch
from torch.nn import functional as F

from clip_surgery.methods.grad_eclip import GradEclip
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
    project_out,
    random_images,
    run,
    score,
)


def naive_map(model, image, text):
    tokens = embed(model, image)
    *earlier, last = blocks_of(model)
    for block in earlier:
        tokens = run(block, tokens)
    heads = heads_of(last, last.ln_1(tokens))
    query, key, value = (torch.cat([head[part] for head in heads], dim=-1) for part in "qkv")
    received = torch.cat(
        [a @ head["v"] for a, head in zip(attentions_of(heads), heads, strict=True)], dim=-1
    )
    received = received.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(
        score(model, finish(last, tokens, [received]), text), received
    )
    query, key = project_out(last, query[:1]), project_out(last, key[1:])
    close = torch.stack([F.cosine_similarity(query[0], patch_key, dim=0) for patch_key in key])
    close = (close - close.min()) / (close.max() - close.min())
    return torch.stack(
        [
            sum(gradient[0, e] * value[1 + i, e] * close[i] for e in range(value.shape[1]))
            for i in range(len(close))
        ]
    ).relu()


def test_equals_the_formula():
    model, pixels, texts = double_model(), random_images(), labels()
    evidence = GradEclip()(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        # the map of a text can be zero, so the maps of all texts are compared together
        expected = torch.stack([naive_map(model, image, text) for text in texts.labels])
        assert_same_map(evidence.patches[row], expected)


def test_one_patch_has_nonzero_evidence():
    """The similarity of keys is the same for all patches; the weight is then 1, not 0 / 0."""
    model = double_model()
    backbone, texts = double_backbone(model), labels(8)
    pixels = random_images(6)[:, :, :8, :8]
    patches = GradEclip()(backbone, pixels, texts).patches
    assert torch.isfinite(patches).all()
    assert patches.max() > 0
