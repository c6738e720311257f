import pytest

from clip_surgery.apps.cli.shared.short_names import short_method, short_model
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.registry import METHODS


def test_methods_with_default_settings_have_their_plain_names():
    assert {name: short_method(repr(cls())) for name, cls in METHODS.items()} == {
        name: name for name in METHODS
    }


def test_settings_that_differ_are_named_as_the_command_line_names_them():
    method = ClipSurgery(depth=3, redundancy="none")
    assert short_method(repr(method)) == "clip_surgery(redundancy=none, depth=3)"


@pytest.mark.parametrize("text", ["", "9 methods", "tags by surgery", "Other(x=1)", "f(", "a.b()"])
def test_other_texts_are_kept(text):
    assert short_method(text) == text


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("open_clip:ViT-B-16/openai", "ViT-B/16 openai"),
        ("open_clip:ViT-B-16-quickgelu/metaclip_400m", "ViT-B/16-quickgelu metaclip_400m"),
        ("open_clip:ViT-L-14/weights/file.pt", "ViT-L/14 file.pt"),
        ("open_clip:RN50/openai", "RN50 openai"),
        ("open_clip:hf-hub:timm/ViT-B-16-SigLIP", "ViT-B-16-SigLIP"),
        ("hugging_face:openai/clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
        ("hugging_face:/models/street", "street"),
        ("demo", "demo"),
        ("", ""),
    ],
)
def test_models_are_named_as_in_papers(backbone, name):
    assert short_model(backbone) == name
