"""transformers' other CLIPs: SigLIP, SigLIP 2, AltCLIP, Chinese-CLIP, MetaCLIP 2."""

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
ONE = ("{}",)


@torch.no_grad()
def test_siglip_says_the_same_in_both_libraries():
    ours, theirs = (wrap_backbone(model) for model in same_siglip())
    texts = ["a cat", "red bus", "grass"]
    one, other = (encode_texts(b, texts, templates=ONE, cache=None) for b in (ours, theirs))
    torch.testing.assert_close(one.labels, other.labels, **EXACT)
    for size in ((32, 32), (24, 56)):
        pixels = torch.randn(2, 3, *size)
        for name in ("similarity", "clip_surgery", "gem", "legrad", "grad_cam"):
            method = method_named(name)
            found, wanted = (method(b, pixels, one) for b in (ours, theirs))
            torch.testing.assert_close(found.patches, wanted.patches, rtol=1e-4, atol=2e-5)
            torch.testing.assert_close(found.image, wanted.image, **EXACT)


@torch.no_grad()
def test_a_patch_is_projected_as_the_head_does_with_it_alone():
    model = tiny_transformers("siglip")
    tokens = torch.randn(2, 5, 32)
    vision = model.vision_model
    wanted = vision.head(vision.post_layernorm(tokens).flatten(0, 1)[:, None])
    found = wrap_backbone(model).tower.project(tokens).flatten(0, 1)
    torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("size", [(32, 32), (48, 24), (16, 72)])
@torch.no_grad()
def test_siglip2_at_any_size_is_its_own_packed_forward(size):
    model, pixels = tiny_transformers("siglip2"), torch.randn(2, 3, *size)
    found = walk(wrap_backbone(model).tower, pixels).image
    torch.testing.assert_close(found, image_features(model, pixels), **EXACT)


@pytest.mark.parametrize("kind", ["altclip", "chinese_clip", "metaclip_2"])
@torch.no_grad()
def test_towers_with_a_class_token_are_clips(kind):
    """CLIP's weights under the names of the other class give CLIP's maps."""
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
    found, wanted = (walk_two_paths(wrap_backbone(model).tower, pixels) for model in (other, clip))
    torch.testing.assert_close(found.patches, wanted.patches, **EXACT)
    torch.testing.assert_close(found.image, wanted.image, **EXACT)


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
    own = wrap_backbone(model).text_tower
    assert own.context_length == backbone.text_tower.context_length
    assert texts.shape[-1] == walk(backbone.tower, pixels).image.shape[-1]
    assert backbone.image_mean[0] == (0.5 if "siglip" in kind else pytest.approx(0.48145466))
    assert backbone.image_size == 32


@pytest.mark.parametrize("kind", ["altclip", "chinese_clip"])
@torch.no_grad()
def test_padding_does_not_matter_to_berts_kin(kind):
    tower = wrap_backbone(tiny_transformers(kind)).text_tower
    ids = token_ids()[:1]
    longer = torch.cat([ids, token_ids()[2:]])
    torch.testing.assert_close(tower.encode(longer)[:1], tower.encode(ids), **EXACT)
    assert torch.equal(
        tower.encode(torch.zeros(1, 77, dtype=torch.int64)).isnan().any(), torch.tensor(False)
    )


@torch.no_grad()
def test_text_bank_keeps_features_of_berts_kin(tmp_path):
    backbone = wrap_backbone(tiny_transformers("chinese_clip"))
    cache = TextCache(tmp_path)
    first = encode_texts(backbone, ["a cat", "a dog"], templates=ONE, cache=cache)
    again = encode_texts(backbone, ["a cat", "a dog"], templates=ONE, cache=cache)
    assert torch.equal(first.labels, again.labels)
    assert F.cosine_similarity(first.labels[0], first.labels[1], dim=0) < 0.9999


def test_siglip_texts_see_all_tokens_and_the_last_one_is_the_text():
    text = wrap_backbone(tiny_transformers("siglip")).text_tower
    assert (text.causal, text.context_length, text.encode) == (False, 16, None)
    assert text.end_positions(token_ids()[:, :16]).tolist() == [15, 15, 15]


def test_fingerprint_is_of_the_text_side():
    for kind in KINDS:
        model = tiny_transformers(kind)
        first = wrap_backbone(model).fingerprint()
        with torch.no_grad():
            next(model.vision_model.parameters()).add_(1)
        assert wrap_backbone(model).fingerprint() == first
        with torch.no_grad():
            next(model.text_model.parameters()).add_(1)
        assert wrap_backbone(model).fingerprint() != first


def test_what_cannot_be_read():
    headless = tiny_transformers("siglip", vision={"vision_use_head": False})
    with pytest.raises(UnsupportedModelError, match="no pooling head"):
        wrap_backbone(headless)
    with pytest.raises(UnsupportedModelError, match="got SiglipVisionModel"):
        wrap_backbone(tiny_transformers("siglip").vision_model)
