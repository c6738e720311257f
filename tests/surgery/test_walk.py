"""The walks, compared with the model's forward pass and with plain loops for the two paths."""

import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.surgery.attention import identity, key_key, query_key, query_query, value_value
from clip_surgery.surgery.walk import walk, walk_two_paths
from tests.surgery.plain_trace import trace
from tests.towers import tiny_open_clip

BLOCKS = 3


@pytest.fixture(scope="module")
def model():
    return tiny_open_clip(seed=0)


@pytest.fixture(scope="module")
def tower(model):
    return wrap_backbone(model).tower


def pixels_like(tower, *, rows=4, columns=4, batch=2, seed=0):
    torch.manual_seed(seed)
    return torch.randn(batch, 3, rows * tower.patch_size, columns * tower.patch_size)


def naive_attention(block, normed, first, second, rows):
    """softmax(a b^T / sqrt(d)) v of one nn.MultiheadAttention, head by head."""
    attention = block.attn
    width = normed.shape[-1]
    head = width // attention.num_heads
    parts = {}
    for name, weight, bias in zip(
        "qkv", attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
    ):
        parts[name] = normed @ weight.T + bias
    out = torch.zeros_like(normed)
    for h in range(attention.num_heads):
        span = slice(h * head, (h + 1) * head)
        a, b, v = parts[first][..., span], parts[second][..., span], parts["v"][..., span]
        out[..., span] = (a @ b.transpose(1, 2) / math.sqrt(head)).softmax(dim=-1) @ v
    return (out @ attention.out_proj.weight.T + attention.out_proj.bias)[:, rows]


def naive_two_paths(model, pixels, *, depth, first="v", second="v", feed_forward=False):
    """CLIP Surgery's forward as the paper writes it, on the model's own weights."""
    visual = model.visual
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1)
    x = visual.ln_pre(x + visual.positional_embedding)
    z = x
    blocks = list(visual.transformer.resblocks)
    for index, block in enumerate(blocks):
        normed = block.ln_1(x)
        every = slice(None)
        if index >= len(blocks) - depth:
            z = z + naive_attention(block, normed, first, second, every)
            if feed_forward:
                z = z + block.mlp(block.ln_2(z))
        x = x + naive_attention(block, normed, "q", "k", every)
        x = x + block.mlp(block.ln_2(x))
        if index < len(blocks) - depth:
            z = x
    tokens = torch.cat([x[:, :1], z[:, 1:]], dim=1)
    tokens = visual.ln_post(tokens) @ visual.proj
    return tokens[:, 0], tokens[:, 1:]


def test_walk_is_the_models_own_forward(model, tower):
    pixels = pixels_like(tower)
    torch.testing.assert_close(walk(tower, pixels).image, model.encode_image(pixels))


@pytest.mark.parametrize("depth", [0, 1, 2, BLOCKS, BLOCKS + 5])
def test_two_paths_equal_a_plain_implementation(model, tower, depth):
    pixels = pixels_like(tower)
    features = walk_two_paths(tower, pixels, depth=depth)
    image, patches = naive_two_paths(model, pixels, depth=depth)
    torch.testing.assert_close(features.image, image)
    torch.testing.assert_close(features.patches, patches)


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [(query_key, "q", "k"), (value_value, "v", "v"), (query_query, "q", "q"), (key_key, "k", "k")],
)
@pytest.mark.parametrize("feed_forward", [False, True])
def test_rules_for_any_two_of_query_key_and_value(model, tower, rule, first, second, feed_forward):
    pixels = pixels_like(tower)
    features = walk_two_paths(tower, pixels, depth=2, rule=rule, feed_forward=feed_forward)
    _, patches = naive_two_paths(
        model, pixels, depth=2, first=first, second=second, feed_forward=feed_forward
    )
    torch.testing.assert_close(features.patches, patches)


@pytest.mark.parametrize("residual", [False, True])
def test_identity_rule_is_the_projected_value(model, tower, residual):
    pixels = pixels_like(tower)
    block = model.visual.transformer.resblocks[-1]
    entry = trace(tower, pixels, depth=2).tokens[0]  # output of the second-last block
    value = block.ln_1(entry) @ block.attn.in_proj_weight.chunk(3)[2].T
    value = value + block.attn.in_proj_bias.chunk(3)[2]
    expected = value @ block.attn.out_proj.weight.T + block.attn.out_proj.bias
    expected = expected + entry if residual else expected
    features = walk_two_paths(tower, pixels, depth=1, rule=identity, residual=residual)
    torch.testing.assert_close(features.patches, tower.project(expected[:, 1:]))


def test_the_image_feature_is_exactly_clips_own(model, tower):
    for rows, columns in [(4, 4), (2, 7)]:
        pixels = pixels_like(tower, rows=rows, columns=columns)
        own = walk(tower, pixels).image
        for depth in range(1, BLOCKS + 1):
            torch.testing.assert_close(walk_two_paths(tower, pixels, depth=depth).image, own)


def test_a_second_path_with_all_parts_equals_the_plain_forward_pass(tower):
    """With q-k attention and the feed-forward kept, the new path must be the original one."""
    pixels = pixels_like(tower)
    features = walk_two_paths(tower, pixels, depth=1, rule=query_key, feed_forward=True)
    torch.testing.assert_close(features.patches, walk(tower, pixels).patches)


def test_trace_equals_the_walk(tower):
    pixels = pixels_like(tower)
    traced = trace(tower, pixels, depth=2)
    plain = walk(tower, pixels)
    torch.testing.assert_close(traced.features.image, plain.image)
    torch.testing.assert_close(traced.features.patches, plain.patches)
    assert (
        len(traced.attentions)
        == len(traced.tokens)
        == len(traced.heads)
        == len(traced.received)
        == 2
    )
    for attention, heads in zip(traced.attentions, traced.heads, strict=True):
        torch.testing.assert_close(attention.sum(dim=-1), torch.ones(attention.shape[:-1]))
        torch.testing.assert_close(
            attention, (heads.query @ heads.key.mT * heads.scale).softmax(dim=-1)
        )


def test_gradients_reach_pixels_and_weights(model, tower):
    pixels = pixels_like(tower).requires_grad_()
    weight = model.visual.transformer.resblocks[-1].attn.in_proj_weight
    features = walk_two_paths(tower, pixels, depth=2)
    to_pixels, to_weight = torch.autograd.grad(features.patches.square().sum(), [pixels, weight])
    assert to_pixels.abs().sum() > 0
    assert to_weight.abs().sum() > 0


def test_gradient_equals_finite_difference():
    tower = wrap_backbone(tiny_open_clip(seed=1).double()).tower
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(pixels)

    def score(pixels):
        return F.normalize(walk_two_paths(tower, pixels).patches, dim=-1).sum()

    slope = (torch.autograd.grad(score(pixels), pixels)[0] * direction).sum()
    step = 1e-5
    with torch.no_grad():
        difference = score(pixels + step * direction) - score(pixels - step * direction)
    torch.testing.assert_close(slope, difference / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: walk(t, torch.zeros(3, 32, 32)), r"\(B, 3, H, W\)"),
        (lambda t: walk(t, torch.zeros(1, 1, 32, 32)), r"\(B, 3, H, W\)"),
        (lambda t: walk(t, torch.zeros(1, 3, 33, 32)), "whole"),
        (lambda t: walk(t, torch.zeros(0, 3, 32, 32)), "at least one"),
        (lambda t: walk_two_paths(t, torch.zeros(1, 3, 32, 32), depth=-1), "-1"),
        (lambda t: trace(t, torch.zeros(1, 3, 32, 32), depth=0), "got 0"),
    ],
)
def test_invalid_input_is_an_error_that_names_the_argument(tower, call, message):
    with pytest.raises(InputError, match=message):
        call(tower)
