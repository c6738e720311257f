"""Companions from timm: DINO, DINOv2 and DINOv3 without weights of the network, through folders."""

import json
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from timm.models import save_for_hf

from clip_surgery.backbones.companion import Companion
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.backbones.positions import interpolate_positions
from clip_surgery.backbones.rotary import CentredRotary
from clip_surgery.errors import (
    InputError,
    UnknownNameError,
    UnsupportedModelError,
    WeightsError,
)
from clip_surgery.grid import PatchGrid
from clip_surgery.loading import load
from clip_surgery.surgery.walk import walk
from clip_surgery.testing.tiny_models.companions import TINY_COMPANIONS, tiny_companion

EXACT = {"rtol": 1e-4, "atol": 1e-5}


def saved(model, folder):
    arguments = {
        "img_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "depth": 2,
        "embed_dim": 32,
        "num_heads": 2,
    }
    save_for_hf(model, str(folder), model_args=arguments, safe_serialization=True)
    return folder


@pytest.fixture(scope="module", params=TINY_COMPANIONS)
def folder_and_model(request, tmp_path_factory):
    model = tiny_companion(request.param)
    return saved(model, tmp_path_factory.mktemp(request.param)), model


@torch.no_grad()
def test_a_folder_gives_the_patches_and_class_token_of_timm(folder_and_model):
    folder, model = folder_and_model
    companion = load_companion(folder, device="cpu")
    assert companion.name == f"timm:{folder}"
    side = model.patch_embed.img_size[0]
    pixels = torch.randn(2, 3, side, side)
    expected = model.forward_features(pixels)
    features = walk(companion.tower, pixels)
    torch.testing.assert_close(features.patches, expected[:, model.num_prefix_tokens :], **EXACT)
    torch.testing.assert_close(features.image, expected[:, 0], **EXACT)


@torch.no_grad()
@pytest.mark.parametrize("rows_columns", [(3, 5), (6, 2), (1, 1)])
def test_dinov3_takes_any_grid_as_timm_does(rows_columns):
    """timm's own model makes positions for the size of the input."""
    model = tiny_companion("dinov3")
    pixels = torch.randn(1, 3, *(16 * count for count in rows_columns))
    expected = model.forward_features(pixels)[:, model.num_prefix_tokens :]
    actual = walk(load_companion(model).tower, pixels)
    assert (actual.grid.rows, actual.grid.columns) == rows_columns
    torch.testing.assert_close(actual.patches, expected, **EXACT)


@torch.no_grad()
def test_dinov2_interpolates_positions_to_another_grid():
    model = tiny_companion("dinov2")
    other = tiny_companion("dinov2", img_size=(28, 84))
    state = model.state_dict()
    state["pos_embed"] = interpolate_positions(
        state["pos_embed"][0],
        native=PatchGrid(rows=4, columns=4),
        grid=PatchGrid(rows=2, columns=6),
        mode="bicubic",
    )[None]
    other.load_state_dict(state)
    pixels = torch.randn(1, 3, 28, 84)
    torch.testing.assert_close(
        walk(load_companion(model).tower, pixels).patches,
        other.forward_features(pixels)[:, 1:],
        **EXACT,
    )


@pytest.mark.parametrize("normalisation", ["separate", "max", "min"])
@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_centred_rotation_equals_that_of_timm(normalisation, indexing):
    rope = timm.layers.RotaryEmbeddingDinoV3(
        16, normalize_coords=normalisation, grid_indexing=indexing, grid_offset=0.25
    ).eval()
    rotary = CentredRotary(
        width=16,
        temperature=100.0,
        offset=0.25,
        columns_first=indexing == "xy",
        half_pairs=True,
        scaled_by=normalisation,
    )
    tokens = torch.randn(2, 17, 2, 16)
    rotate = rotary.rotation(
        PatchGrid(rows=3, columns=5), prefix_tokens=2, device=torch.device("cpu")
    )
    expected = timm.layers.apply_rot_embed_cat(
        tokens[:, 2:].transpose(1, 2), rope.get_embed([3, 5]), half=True
    )
    torch.testing.assert_close(rotate(tokens)[:, 2:], expected.transpose(1, 2), **EXACT)


def test_a_companion_sees_the_same_window_with_its_own_mean_and_patches():
    model = tiny_companion("dinov2")
    model.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.25, 1.0)}
    companion = load_companion(model)
    grey = companion.pixels(torch.full((1, 3, 96, 20), 0.6))
    assert grey.shape == (1, 3, 98, 14)  # 96 and 20 px are nearest to 7 and 1 patches of 14 px
    torch.testing.assert_close(grey[0, :, 0, 0], torch.tensor([1.0, 1.6, 0.3]))
    unchanged = torch.rand(1, 3, 28, 42)
    restored = companion.pixels(unchanged) * torch.tensor([0.5, 0.25, 1.0]).view(1, 3, 1, 1)
    restored += torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(restored, unchanged)
    assert companion.pixels(torch.zeros(1, 3, 3, 3)).shape == (1, 3, 14, 14)


def test_load_gives_the_model_a_companion_of_a_folder_or_in_memory(tmp_path):
    model = tiny_companion("dino")
    folder = saved(model, tmp_path)
    explainer = load("demo", companion=str(folder))
    assert explainer.backbone.companion.name == f"timm:{folder}"
    in_memory = load("demo", companion=model).backbone.companion
    assert in_memory.model is model
    assert load("demo", companion=in_memory).backbone.companion is in_memory
    image = np.zeros((96, 96, 3), dtype=np.uint8)
    alone = load("demo")([image], ["dog", "boat"])
    assert torch.equal(explainer([image], ["dog", "boat"]).image_scores, alone.image_scores)


def test_pixels_are_restored_from_normalised_ones():
    backbone = load("demo").backbone
    pixels = torch.rand(2, 3, 8, 16)
    torch.testing.assert_close(backbone.denormalise(backbone.normalise(pixels)), pixels)


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def other_architecture(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "architecture": "no_such_model"}))


def convolutional(folder):
    settings = {"architecture": "resnet18", "num_classes": 0, "pretrained_cfg": {}}
    (folder / "config.json").write_text(json.dumps(settings))


def damaged(folder):
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(31))


def not_json(folder):
    (folder / "config.json").write_text("[1, 2")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_weights, "neither model.safetensors nor pytorch_model.bin"),
        (other_architecture, "no architecture no_such_model"),
        (convolutional, "Could not load weights"),
        (damaged, "Could not load weights"),
        (not_json, "config.json"),
    ],
)
def test_a_damaged_folder_is_named(damage, message, tmp_path):
    folder = saved(tiny_companion("dino"), tmp_path)
    damage(folder)
    with pytest.raises(WeightsError, match=message) as caught:
        load_companion(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = tiny_companion("dino")
    with torch.no_grad():
        model.blocks[0].mlp.fc1.weight[0, 0] = float("nan")
    with pytest.raises(WeightsError, match="finite weights"):
        load_companion(saved(model, tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("companion", "error", "message"),
    [
        ("dino", UnknownNameError, "timm:NAME"),
        ("timm:vit_base_patch8_224.dinosaur", UnknownNameError, "vit_base_patch8_224.dino|dino"),
        ("timm:vit_small_patch16_224.dino", WeightsError, "save_for_hf"),
        ("hf-hub:timm/vit_small_patch16_224.dino", WeightsError, "offline mode"),
        ("timm:", UnknownNameError, "timm:NAME"),
        ("no/such/folder", UnknownNameError, "folder"),
        (3, InputError, "int"),
        (torch.nn.Linear(2, 2), UnsupportedModelError, "Linear"),
    ],
)
def test_companions_that_cannot_be_loaded_are_named(companion, error, message):
    with pytest.raises(error, match=message) as caught:
        load_companion(companion, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_companion_needs_a_usable_normalisation():
    companion = load_companion(tiny_companion("dino"))
    for change in ({"image_std": (0.0, 1.0, 1.0)}, {"image_mean": (1.0, 1.0)}):
        with pytest.raises(InputError, match="image_mean and image_std"):
            replace(companion, **change)
    assert isinstance(companion, Companion)
