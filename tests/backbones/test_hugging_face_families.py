"""Other CLIP models of transformers: SigLIP, SigLIP 2, AltCLIP, Chinese-CLIP, MetaCLIP 2."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import load_backbone, wrap_backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.registry import method_named
from clip_surgery.surgery.walk import walk, walk_two_paths
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.cache import TextCache
from tests.same_siglip import same_siglip
from tests.towers import tiny_hugging_face, token_ids
from tests.zoo import image_features, text_features, tiny_transformers

EXACT = {"rtol": 1e-5, "atol": 5e-6}
KINDS = ["siglip", "siglip2", "altclip", "chinese_clip", "metaclip_2"]
TEMPLATE = ("{}",)


@torch.no_grad()
def test_siglip_gives_the_same_results_in_both_libraries():
    open_clip_backbone, transformers_backbone = (wrap_backbone(model) for model in same_siglip())
    texts = ["a cat", "red bus", "grass"]
    first, second = (
        encode_texts(b, texts, templates=TEMPLATE, cache=None)
        for b in (open_clip_backbone, transformers_backbone)
    )
    torch.testing.assert_close(first.labels, second.labels, **EXACT)
    for size in ((32, 32), (24, 56)):
        pixels = torch.randn(2, 3, *size)
        for name in ("similarity", "clip_surgery", "gem", "legrad", "grad_cam"):
            method = method_named(name)
            actual, expected = (
                method(b, pixels, first) for b in (open_clip_backbone, transformers_backbone)
            )
            torch.testing.assert_close(actual.patches, expected.patches, rtol=1e-4, atol=2e-5)
            torch.testing.assert_close(actual.image, expected.image, **EXACT)


@torch.no_grad()
def test_a_patch_is_projected_like_a_single_token_in_the_head():
    model = tiny_transformers("siglip")
    tokens = torch.randn(2, 5, 32)
    vision = model.vision_model
    expected = vision.head(vision.post_layernorm(tokens).flatten(0, 1)[:, None])
    actual = wrap_backbone(model).tower.project(tokens).flatten(0, 1)
    torch.testing.assert_close(actual, expected, **EXACT)


@pytest.mark.parametrize("size", [(32, 32), (48, 24), (16, 72)])
@torch.no_grad()
def test_siglip2_at_any_size_equals_its_packed_forward_pass(size):
    model, pixels = tiny_transformers("siglip2"), torch.randn(2, 3, *size)
    actual = walk(wrap_backbone(model).tower, pixels).image
    torch.testing.assert_close(actual, image_features(model, pixels), **EXACT)


@pytest.mark.parametrize("kind", ["altclip", "chinese_clip", "metaclip_2"])
@torch.no_grad()
def test_towers_with_a_class_token_equal_that_of_clip(kind):
    """With the weights of CLIP, another class gives the same maps as CLIP."""
    clip, other = tiny_hugging_face(), tiny_transformers(kind)
    state = {
        name: value
        for name, value in clip.state_dict().items()
        if name.startswith(("vision_model.", "visual_")) and "layers.3" not in name
    }
    assert not other.load_state_dict(state, strict=False).unexpected_keys
    clip.vision_model.encoder.layers = clip.vision_model.encoder.layers[:3]
    activation = clip.vision_model.encoder.layers[0].mlp.activation_fn
    for layer in other.vision_model.encoder.layers:
        layer.mlp.activation_fn = activation
    pixels = torch.randn(2, 3, 40, 24)
    actual, expected = (
        walk_two_paths(wrap_backbone(model).tower, pixels) for model in (other, clip)
    )
    torch.testing.assert_close(actual.patches, expected.patches, **EXACT)
    torch.testing.assert_close(actual.image, expected.image, **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_folders(kind, tmp_path):
    model = tiny_transformers(kind)
    model.save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    ids = token_ids()[:, : backbone.text_tower.context_length]
    pixels = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(
        walk(backbone.tower, pixels).image, image_features(model, pixels), **EXACT
    )
    texts = text_features(model, ids)
    text_tower = wrap_backbone(model).text_tower
    assert text_tower.context_length == backbone.text_tower.context_length
    assert texts.shape[-1] == walk(backbone.tower, pixels).image.shape[-1]
    assert backbone.image_mean[0] == (0.5 if "siglip" in kind else pytest.approx(0.48145466))
    assert backbone.image_size == 32


@pytest.mark.parametrize("kind", ["altclip", "chinese_clip"])
@torch.no_grad()
def test_padding_does_not_change_features_of_bert_like_towers(kind):
    tower = wrap_backbone(tiny_transformers(kind)).text_tower
    ids = token_ids()[:1]
    longer = torch.cat([ids, token_ids()[2:]])
    torch.testing.assert_close(tower.encode(longer)[:1], tower.encode(ids), **EXACT)
    assert torch.equal(
        tower.encode(torch.zeros(1, 77, dtype=torch.int64)).isnan().any(), torch.tensor(False)
    )


@torch.no_grad()
def test_text_bank_caches_features_of_bert_like_towers(tmp_path):
    backbone = wrap_backbone(tiny_transformers("chinese_clip"))
    cache = TextCache(tmp_path)
    first = encode_texts(backbone, ["a cat", "a dog"], templates=TEMPLATE, cache=cache)
    again = encode_texts(backbone, ["a cat", "a dog"], templates=TEMPLATE, cache=cache)
    assert torch.equal(first.labels, again.labels)
    assert F.cosine_similarity(first.labels[0], first.labels[1], dim=0) < 0.9999


def test_siglip_text_towers_are_not_causal_and_pool_the_last_token():
    text = wrap_backbone(tiny_transformers("siglip")).text_tower
    assert (text.causal, text.context_length, text.encode) == (False, 16, None)
    assert text.end_positions(token_ids()[:, :16]).tolist() == [15, 15, 15]


def test_the_fingerprint_depends_on_the_text_side_only():
    for kind in KINDS:
        model = tiny_transformers(kind)
        first = wrap_backbone(model).fingerprint()
        with torch.no_grad():
            next(model.vision_model.parameters()).add_(1)
        assert wrap_backbone(model).fingerprint() == first
        with torch.no_grad():
            next(model.text_model.parameters()).add_(1)
        assert wrap_backbone(model).fingerprint() != first


def test_unsupported_models_are_refused():
    headless = tiny_transformers("siglip", vision={"vision_use_head": False})
    with pytest.raises(UnsupportedModelError, match="no pooling head"):
        wrap_backbone(headless)
    with pytest.raises(UnsupportedModelError, match="got SiglipVisionModel"):
        wrap_backbone(tiny_transformers("siglip").vision_model)
