"""Folders in the format of the demo model, with a tiny random checkpoint."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import clip_surgery as cs
from clip_surgery.backbones.demo.loading import FOLDER, is_demo_folder, load_demo
from clip_surgery.backbones.demo.model import DemoClip, QuickGelu
from clip_surgery.backbones.loading import load_backbone
from clip_surgery.errors import WeightsError
from tests.backbones.plain_walk import encode_ids, encode_pixels
from tests.towers import tiny_config, tiny_open_clip, token_ids

CPU = {"device": torch.device("cpu"), "dtype": torch.float32}


@pytest.fixture
def folder(tmp_path):
    weights = tmp_path / "model.safetensors"
    half = {name: value.half() for name, value in tiny_open_clip().state_dict().items()}
    save_file(half, weights)
    config = {
        "model_cfg": tiny_config(),
        "preprocess_cfg": {"size": [32, 32], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]},
        "nouns": ["cat", "tree"],
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def change(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(json.dumps(config))


@torch.no_grad()
def test_the_model_of_a_folder_computes_what_open_clip_computes(folder):
    backbone = load_demo(folder, **CPU)
    assert backbone.name == "demo"
    assert backbone.nouns == ("cat", "tree")
    assert backbone.image_mean == (0.5, 0.4, 0.3)
    assert backbone.dtype == torch.float32
    assert not backbone.model.training
    model, pixels = tiny_open_clip().half().float(), torch.randn(2, 3, 32, 32)
    expected = model.encode_image(pixels)
    torch.testing.assert_close(encode_pixels(backbone.tower, pixels), expected)
    expected = model.encode_text(token_ids())
    torch.testing.assert_close(encode_ids(backbone.text_tower, token_ids()), expected)


@torch.no_grad()
def test_the_towers_and_the_modules_agree_with_the_class_of_open_clip():
    open_clip_model = tiny_open_clip()
    demo_model = DemoClip.of(tiny_config())
    demo_model.load_state_dict(open_clip_model.state_dict())
    pixels = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(
        demo_model.encode_image(pixels), open_clip_model.encode_image(pixels)
    )
    torch.testing.assert_close(
        demo_model.encode_text(token_ids()), open_clip_model.encode_text(token_ids())
    )
    backbone = cs.wrap(demo_model, cache=False).backbone
    assert backbone.name == "wrapped:DemoClip"
    torch.testing.assert_close(
        encode_pixels(backbone.tower, pixels), open_clip_model.encode_image(pixels)
    )


def test_the_activation_is_the_same_with_and_without_gradients():
    tokens = torch.linspace(-6, 6, 1001)
    before = tokens.clone()
    with torch.no_grad():
        without_gradients = QuickGelu()(tokens)
    assert torch.equal(QuickGelu()(tokens), without_gradients)
    assert torch.equal(tokens, before)


@pytest.mark.slow
def test_loading_the_demo_imports_no_slow_library():
    program = (
        "import sys, clip_surgery as cs;"
        "cs.load('demo', cache=False, templates='photo').encode(['dog', 'boat']);"
        "print(sorted({'open_clip', 'torchvision', 'transformers', 'timm'} & set(sys.modules)))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"


def test_a_folder_in_this_format_is_loaded_by_name(folder, tmp_path_factory):
    assert is_demo_folder(folder)
    assert not is_demo_folder(tmp_path_factory.mktemp("empty"))
    backbone = load_backbone(str(folder), dtype="bfloat16", positions="bicubic")
    assert backbone.nouns == ("cat", "tree")
    assert backbone.dtype == torch.bfloat16


def test_changed_weights_are_refused_with_both_hashes(folder):
    weights = folder / "model.safetensors"
    expected = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    actual = hashlib.sha256(weights.read_bytes()).hexdigest()
    with pytest.raises(WeightsError) as caught:
        load_demo(folder, **CPU)
    assert all(part in str(caught.value) for part in (str(weights), expected, actual))


def test_bad_folders(folder, tmp_path_factory):
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_demo(tmp_path_factory.mktemp("empty"), **CPU)
    change(folder, model_cfg=tiny_config(embed_dim=8))
    with pytest.raises(WeightsError, match="size mismatch"):
        load_demo(folder, **CPU)
    change(folder, model_cfg={"embed": 8})
    with pytest.raises(WeightsError, match=r"model_cfg\.vision_cfg is missing"):
        load_demo(folder, **CPU)
    text = b"no safetensors"
    (folder / "model.safetensors").write_bytes(text)
    change(folder, model_cfg=tiny_config(), sha256=hashlib.sha256(text).hexdigest())
    with pytest.raises(WeightsError, match="SafetensorError"):
        load_demo(folder, **CPU)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="FileNotFoundError"):
        load_demo(folder, **CPU)


@pytest.mark.skipif(not is_demo_folder(FOLDER), reason="the demo checkpoint is not exported yet")
def test_the_bundled_checkpoint():
    backbone = load_backbone("demo")
    assert backbone.nouns
    side = backbone.image_size
    with torch.no_grad():
        assert encode_pixels(backbone.tower, torch.randn(1, 3, side, side)).isfinite().all()
