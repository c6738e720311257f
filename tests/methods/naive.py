"""The tiny open_clip tower in plain loops, with which the methods are compared.

Everything is float64 and for one image at a time, over the model's own weights; nothing here
knows the library's walks.
"""

import math

import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.text.features import TextFeatures
from tests.towers import tiny_open_clip

PATCH = 8
SIDE = 4  # patches per side, the native grid of the model


def double_model(seed=0, **settings):
    return tiny_open_clip(seed=seed, **settings).double()


def double_backbone(model):
    return wrap_backbone(model)


def random_images(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    side = SIDE * PATCH
    return torch.randn(batch, 3, side, side, generator=generator, dtype=torch.float64)


def labels(count=3, width=24, seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(count + 1, width, generator=generator), dim=-1)
    names = tuple(f"text {index}" for index in range(count))
    return TextFeatures(texts=names, labels=features[:-1], empty=features[-1])


def blocks_of(model):
    return list(model.visual.transformer.resblocks)


def embed(model, image):
    """Tokens (N, E) of one image (3, H, W)."""
    visual = model.visual
    patches = visual.conv1(image[None]).flatten(2)[0].T
    tokens = torch.cat([visual.class_embedding[None], patches])
    return visual.ln_pre(tokens + visual.positional_embedding)


def heads_of(block, normed):
    """Per head a dict of q, k and v, each (N, d)."""
    attention = block.attn
    width = normed.shape[-1]
    size = width // attention.num_heads
    heads = [{} for _ in range(attention.num_heads)]
    for name, weight, bias in zip(
        "qkv", attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
    ):
        part = normed @ weight.T + bias
        for head in range(attention.num_heads):
            heads[head][name] = part[:, head * size : (head + 1) * size]
    return heads


def softmax_of(first, second, scale):
    return (scale * first @ second.T).softmax(dim=-1)


def attentions_of(heads):
    """CLIP's own attention per head, a list of (N, N)."""
    return [softmax_of(head["q"], head["k"], head["q"].shape[-1] ** -0.5) for head in heads]


def project_out(block, tokens):
    return tokens @ block.attn.out_proj.weight.T + block.attn.out_proj.bias


def finish(block, tokens, received):
    """The rest of a block after attention; `received` is a list of (N, d), one per head."""
    tokens = tokens + project_out(block, torch.cat(received, dim=-1))
    return tokens + block.mlp(block.ln_2(tokens))


def run(block, tokens):
    heads = heads_of(block, block.ln_1(tokens))
    received = [a @ head["v"] for a, head in zip(attentions_of(heads), heads, strict=True)]
    return finish(block, tokens, received)


def run_from(model, tokens, index):
    """Tokens through the blocks from `index` on."""
    for block in blocks_of(model)[index:]:
        tokens = run(block, tokens)
    return tokens


def to_joint(model, tokens):
    return model.visual.ln_post(tokens) @ model.visual.proj


def score(model, tokens, text):
    """Cosine of the class token after the last block with one text feature."""
    return F.cosine_similarity(to_joint(model, tokens)[0], text.double(), dim=0)


def dense(model, image, received, *, depth, residual, feed_forward, fill=None):
    """Patch features (P, D): the last `depth` blocks on a second path, as the papers write it.

    `received(head, normed)` is the attention output of one head, (N, d); `fill(tokens, attention)`
    repairs tokens before the last block, given the mean attention of the second-last one.
    """
    original = embed(model, image)
    new = original
    blocks = blocks_of(model)
    mean_attention = None
    for index, block in enumerate(blocks):
        seen = original
        if index == len(blocks) - 1 and fill is not None:
            seen, new = fill(original, mean_attention), fill(new, mean_attention)
        normed = block.ln_1(seen)
        heads = heads_of(block, normed)
        mean_attention = torch.stack(attentions_of(heads)).mean(dim=0)
        if index >= len(blocks) - depth:
            got = torch.cat([received(head, normed) for head in heads], dim=-1)
            got = project_out(block, got)
            new = new + got if residual else got
            new = new + block.mlp(block.ln_2(new)) if feed_forward else new
        original = run(block, original)
        if index < len(blocks) - depth:
            new = original
    return to_joint(model, new)[1:]


def self_attention(head, *pairs):
    """Sum over pairs such as "qq" of softmax(a b^T / sqrt(d)) v."""
    scale = 1 / math.sqrt(head["v"].shape[-1])
    return sum(softmax_of(head[a], head[b], scale) @ head["v"] for a, b in pairs)


def similarity(model, image, texts, received, **settings):
    """Cosine of dense features with texts (C, P)."""
    features = F.normalize(dense(model, image, received, **settings), dim=-1)
    return (features @ texts.labels.double().T).T


def assert_same_map(actual, expected, tolerance=1e-5):
    """Assert that maps are equal up to a fraction of the largest value."""
    expected = expected.detach()
    assert expected.abs().max() > 0
    difference = (actual.double() - expected).abs().max() / expected.abs().max()
    assert difference < tolerance, difference
