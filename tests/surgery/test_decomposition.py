"""Contributions to the image feature, compared with a plain loop and with the model's feature."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.surgery.decomposed_feature import mean_contributions
from clip_surgery.surgery.decomposition import decompose_image
from clip_surgery.surgery.walk import walk
from tests.towers import assert_same_state, state_of, tiny_open_clip
from tests.zoo import TOWER_PARAMS, TOWERS, image_features


def pixels_for(backbone, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, backbone.image_size, backbone.image_size, generator=generator)


@pytest.fixture(scope="module")
def model():
    return tiny_open_clip(seed=0)


@pytest.fixture(scope="module")
def backbone(model):
    return wrap_backbone(model)


@pytest.fixture(scope="module")
def parts(backbone):
    with torch.no_grad():
        return decompose_image(backbone.tower, pixels_for(backbone))


@pytest.mark.parametrize("name", TOWER_PARAMS)
@torch.no_grad()
def test_contributions_add_up_to_the_models_own_feature(name):
    backbone = wrap_backbone(TOWERS[name](seed=0))
    pixels = pixels_for(backbone)
    before = state_of(backbone.model)
    parts = decompose_image(backbone.tower, pixels)
    expected = image_features(backbone.model, pixels)[0]
    torch.testing.assert_close(parts.total(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.image, expected, atol=1e-5, rtol=0)
    assert_same_state(before, state_of(backbone.model))


@torch.no_grad()
def test_contributions_written_out_for_a_class_token(model, parts, backbone):
    """Every term by the formula of the paper, with the weights of open_clip's own modules."""
    visual, pixels = model.visual, pixels_for(backbone)
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    tokens = torch.cat([visual.class_embedding.expand(1, 1, -1), patches], dim=1)
    tokens = visual.ln_pre(tokens + visual.positional_embedding)
    terms, rest = {"embedding": tokens[0, 0]}, torch.zeros(tokens.shape[-1])
    for layer, block in enumerate(visual.transformer.resblocks):
        attention = block.attn
        normed, width = block.ln_1(tokens)[0], tokens.shape[-1]
        query, key, value = (
            normed @ weight.T + bias
            for weight, bias in zip(
                attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
            )
        )
        side = width // attention.num_heads
        output = torch.zeros_like(normed) + attention.out_proj.bias
        for head in range(attention.num_heads):
            span = slice(head * side, (head + 1) * side)
            weights = (query[:, span] @ key[:, span].T / side**0.5).softmax(dim=-1)
            added = weights @ value[:, span] @ attention.out_proj.weight[:, span].T
            terms[layer, head] = added[0]
            output = output + added
            for token in range(len(normed)):
                terms[layer, head, token] = (
                    weights[0, token] * value[token, span]
                ) @ attention.out_proj.weight[:, span].T
        rest = rest + attention.out_proj.bias
        tokens = tokens + output
        added = block.mlp(block.ln_2(tokens))
        terms[layer, "feed forward"] = added[0, 0]
        tokens = tokens + added
    final, norm = tokens[0, 0], visual.ln_post
    deviation = (final.var(correction=0) + norm.eps).sqrt()

    def linear(term):
        return (norm.weight * (term - term.mean()) / deviation) @ visual.proj

    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(parts.embedding, linear(terms["embedding"]), **close)
    torch.testing.assert_close(parts.rest, linear(rest) + norm.bias @ visual.proj, **close)
    layers, heads = parts.heads.shape[:2]
    for layer in range(layers):
        expected = linear(terms[layer, "feed forward"])
        torch.testing.assert_close(parts.feed_forward[layer], expected, **close)
        for head in range(heads):
            torch.testing.assert_close(
                parts.heads[layer, head], linear(terms[layer, head]), **close
            )
            values = parts.weights[layer, head, 0, :, None] * parts.values[layer, head]
            by_token = values @ parts.out[layer, head] @ parts.to_joint[0]
            for token in range(len(by_token)):
                expected = linear(terms[layer, head, token])
                torch.testing.assert_close(by_token[token], expected, **close)


@pytest.mark.parametrize("pooling", ["mean of features", "feature of the mean"])
@torch.no_grad()
def test_towers_that_are_pooled_by_the_mean(backbone, pooling):
    tower = backbone.tower

    def pool(tokens):
        if pooling == "mean of features":
            return tower.project(tokens[:, 1:]).mean(dim=1)
        return tower.project(tokens[:, 1:].mean(dim=1))

    tower = replace(tower, pool=pool, pool_reads="all")
    parts = decompose_image(tower, pixels_for(backbone))
    torch.testing.assert_close(parts.total(), walk(tower, pixels_for(backbone)).image[0])
    torch.testing.assert_close(
        parts.token_contributions().sum(0), parts.heads.sum((0, 1)), atol=1e-5, rtol=0
    )


@torch.no_grad()
def test_double_precision_is_exact():
    model = tiny_open_clip(seed=0)
    tower = wrap_backbone(model.double()).tower
    parts = decompose_image(tower, torch.randn(1, 3, 32, 32, dtype=torch.float64))
    torch.testing.assert_close(parts.total(), parts.image, atol=2e-6, rtol=0)


def test_scores_add_up_to_the_cosine(parts):
    texts = torch.randn(3, len(parts.image))
    scores = parts.scores(texts)
    expected = cosine_similarity(parts.image[None], texts)
    torch.testing.assert_close(scores.total(), expected, atol=1e-6, rtol=0)
    for block, head in ((0, 1), (-1, 0)):
        tokens = parts.token_scores(texts, block=block, head=head)
        torch.testing.assert_close(
            tokens.sum(dim=1), scores.heads[:, block, head], atol=1e-6, rtol=0
        )
        maps = parts.head_maps(texts, block=block, head=head)
        assert maps.shape == (3, parts.grid.rows, parts.grid.columns)
        torch.testing.assert_close(maps.flatten(1), tokens[:, 1:])


@pytest.mark.parametrize("name", ["timm_siglip", "open_clip_resnet"])
@torch.no_grad()
def test_tokens_of_attention_pools_add_up_to_heads(name):
    backbone = wrap_backbone(TOWERS[name](seed=0))
    parts = decompose_image(backbone.tower, pixels_for(backbone))
    by_token = parts.token_contributions()
    torch.testing.assert_close(by_token.sum(0), parts.heads.sum((0, 1)), atol=1e-5, rtol=0)
    texts = torch.randn(2, len(parts.image))
    scores = torch.zeros(2, len(by_token))
    for block, heads in enumerate(parts.heads):
        for head in range(len(heads)):
            scores += parts.token_scores(texts, block=block, head=head)
    expected = normalize(texts, dim=-1) @ by_token.T / parts.image.norm()
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    assert bool(parts.pool.any()) == (name == "timm_siglip")


def test_mean_ablation_replaces_contributions_only(backbone, parts):
    with torch.no_grad():
        other = decompose_image(backbone.tower, pixels_for(backbone, seed=1))
    means = mean_contributions(iter([parts, other]))
    layers, heads = parts.heads.shape[:2]
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    expected = parts.embedding + parts.rest + means.heads.sum((0, 1)) + means.feed_forward.sum(0)
    ablated = parts.with_means(means, heads=[*every, (-1, 0)], feed_forward=range(layers))
    torch.testing.assert_close(ablated, expected, atol=1e-5, rtol=0)
    assert torch.equal(parts.with_means(means), parts.image)
    own = mean_contributions([parts])
    torch.testing.assert_close(parts.with_means(own, heads=every), parts.image)


@torch.no_grad()
def test_flat_images_and_one_patch_have_finite_contributions(backbone):
    for side in (backbone.image_size, backbone.tower.patch_size):
        parts = decompose_image(backbone.tower, torch.zeros(1, 3, side, side))
        torch.testing.assert_close(parts.total(), parts.image, atol=1e-5, rtol=0)
        scores = parts.scores(torch.zeros(1, len(parts.image)))
        assert scores.total().tolist() == [0]


def test_bad_calls(backbone, parts):
    texts = normalize(torch.randn(2, len(parts.image)), dim=-1)
    with pytest.raises(InputError, match="one image, but got 2"):
        decompose_image(backbone.tower, torch.zeros(2, 3, 32, 32))
    with pytest.raises(InputError, match="block below"):
        parts.token_scores(texts, block=4, head=0)
    with pytest.raises(InputError, match="text features"):
        parts.scores(texts[:, 1:])
    with pytest.raises(InputError, match="at least one"):
        mean_contributions([])
    means = mean_contributions([parts])
    with pytest.raises(InputError, match="head below"):
        parts.with_means(means, heads=[(0, 9)])
    with pytest.raises(InputError, match="means of heads"):
        parts.with_means(means._replace(heads=means.heads[1:]))


@torch.no_grad()
def test_a_head_with_a_feed_forward_network_is_refused(backbone):
    tower = backbone.tower

    def project(tokens):
        return tower.project(tokens).tanh()

    bent = replace(tower, project=project, pool=lambda tokens: project(tokens[:, 0]))
    with pytest.raises(UnsupportedModelError, match="not a norm and an affine map"):
        decompose_image(bent, pixels_for(backbone))
