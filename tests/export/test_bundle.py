"""Bundles: onnxruntime and torch compute from the files what the library computes."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import clip_surgery
from clip_surgery.apps.cli.commands.demo import SCENE
from clip_surgery.errors import (
    InputError,
    MissingExtraError,
    UnknownNameError,
    UnsupportedModelError,
)
from clip_surgery.explainer import Explainer
from clip_surgery.export import bundle, export_bundle, load_texts, onnx_file
from clip_surgery.export.onnx_file import open_onnx
from clip_surgery.export.torch_file import open_torch
from clip_surgery.export.traced_tower import ImageTower, trace_tower
from clip_surgery.loading import load, wrap
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.gem import Gem
from clip_surgery.methods.grad_cam import GradCam
from clip_surgery.methods.registry import as_method
from clip_surgery.storage.tensor_file import write_tensors
from clip_surgery.tasks.heatmaps import heatmaps
from tests.towers import assert_same_state, state_of
from tests.zoo import TOWERS

EXAMPLE = Path(__file__).parents[2] / "docs/examples/onnx_bundle.py"
GRIDS = ((1, 4, 4), (3, 2, 7), (2, 9, 3), (5, 3, 3))
TEXTS = ("bench", "person", "a pig")


@pytest.fixture(scope="module")
def demo() -> Explainer:
    return load("demo", templates="photo", cache=False)


@pytest.fixture(scope="module")
def written(demo, tmp_path_factory):
    """The demo model, exported as an ONNX bundle."""
    return export_bundle(demo, tmp_path_factory.mktemp("bundle"), texts=TEXTS)


def assert_same_features(explainer, run):
    """Compare a file with the library, for several batch sizes and rectangles."""
    tower = ImageTower(explainer.backbone, explainer.method)
    side = explainer.backbone.tower.patch_size
    for batch, rows, columns in GRIDS:
        pixels = torch.rand(batch, 3, rows * side, columns * side)
        with torch.no_grad():
            features = explainer.method.features(
                explainer.backbone.tower, explainer.backbone.normalise(pixels)
            )
            expected = (features.patches, features.image)
            torch.testing.assert_close(tower(pixels)[1], unit(expected[1]))
        for actual, expected_features in zip(run(pixels), expected, strict=True):
            torch.testing.assert_close(actual, unit(expected_features), rtol=0, atol=1e-4)
            assert actual.std() > 0.01


def assert_no_folders(folder):
    """Check that the files hold no folder of this machine, also inside of archives."""
    package = str(Path(clip_surgery.__file__).parent)
    for path in folder.iterdir():
        content = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                content = b"".join(map(archive.read, archive.namelist()))
        assert package.encode() not in content, path
        assert b"site-packages" not in content, path


def unit(features):
    return features / features.norm(dim=-1, keepdim=True)


@pytest.mark.slow
def test_demo_in_onnxruntime(demo, written):
    assert written.files == ("bank.safetensors", "bundle.json", "tower.onnx")
    assert written.difference < 1e-4
    assert_no_folders(written.folder)
    assert_same_features(demo, open_onnx(written.folder / "tower.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hugging_face", "open_clip_resnet"])
def test_towers_in_onnxruntime(kind, tmp_path):
    model = TOWERS[kind]()
    before = state_of(model)
    explainer = wrap(model, cache=False)
    export_bundle(explainer, tmp_path)
    assert_same_state(before, state_of(model))
    assert_same_features(explainer, open_onnx(tmp_path / "tower.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timm_eva", "hugging_face_siglip2"])
def test_towers_in_torch(kind, tmp_path):
    model = TOWERS[kind]()
    before = state_of(model)
    explainer = wrap(model, cache=False)
    export_bundle(explainer, tmp_path, to="torch")
    assert_same_state(before, state_of(model))
    assert_same_features(explainer, open_torch(tmp_path / "tower.pt2"))
    assert_no_folders(tmp_path)


@pytest.mark.slow
def test_another_method_smoothed_positions_and_repair(open_clip_model, tmp_path):
    method = Gem(repair_outliers=True)
    explainer = wrap(open_clip_model, method=method, positions="bicubic", cache=False)
    export_bundle(explainer, tmp_path, to="torch")
    assert_same_features(explainer, open_torch(tmp_path / "tower.pt2"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["naclip", "clip_surgery"])
def test_a_traced_method_does_not_keep_the_grid_of_the_trace(open_clip_model, name):
    backbone = wrap(open_clip_model, cache=False).backbone
    tower = ImageTower(backbone, as_method(name))
    traced = trace_tower(tower).module()
    for batch, rows, columns in GRIDS:
        pixels = torch.rand_like(tower.example(batch, rows, columns))
        with torch.no_grad():
            torch.testing.assert_close(traced(pixels), tower(pixels), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_text_tower_is_not_exported(demo, written):
    vision = sum(weight.numel() for weight in demo.backbone.model.visual.parameters())
    initializers = onnx.load(written.folder / "tower.onnx").graph.initializer
    assert vision * 0.9 < sum(int(np.prod(weight.dims)) for weight in initializers) < vision * 1.1


@pytest.mark.slow
def test_large_weights_are_in_a_second_file(open_clip_model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "MAX_EMBEDDED_BYTES", 1000)
    explainer = wrap(open_clip_model, cache=False)
    exported = export_bundle(explainer, tmp_path)
    assert exported.files == ("bundle.json", "tower.onnx", "tower.onnx.data")
    assert_same_features(explainer, open_onnx(tmp_path / "tower.onnx"))


@pytest.mark.slow
def test_the_content_of_the_files(demo, written):
    description = json.loads((written.folder / "bundle.json").read_text())
    assert description["texts"] == list(TEXTS)
    assert (description["patch_size"], description["size"], description["tower"]) == (
        8,
        96,
        "tower.onnx",
    )
    assert description["mean_inside"] == list(demo.backbone.image_mean)
    features, text_facts = load_texts(written.folder / description["bank"])
    expected = demo.encode(TEXTS)
    torch.testing.assert_close(features.labels, expected.labels)
    torch.testing.assert_close(features.empty, expected.empty)
    assert text_facts["model"] == "demo"
    assert text_facts["templates"] == list(demo.templates)
    assert text_facts["fingerprint"] == demo.backbone.fingerprint()


@pytest.mark.parametrize(
    ("tensors", "description", "reason"),
    [
        (None, {}, "Expected a file of format 'clip-surgery texts 1'"),
        ({"labels": torch.zeros(2, 4)}, {"texts": ["a", "b"]}, "damaged .*empty"),
        ({"labels": torch.zeros(2, 4), "empty": torch.zeros(4)}, {"texts": ["a"]}, "damaged"),
    ],
)
def test_damaged_texts_are_refused(tensors, description, reason, tmp_path):
    if tensors is not None:
        write_tensors(tmp_path / "texts", tensors, description, kind="clip-surgery texts 1")
    with pytest.raises(InputError, match=reason):
        load_texts(tmp_path / "texts")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        ({}, TEXTS),
        ({"weighting": "paper", "temperature": 5.0}, TEXTS),
        ({"redundancy": "none"}, TEXTS),
        ({"redundancy": "empty text"}, TEXTS),
        ({"redundancy": "vocabulary"}, TEXTS),
        ({"redundancy": "vocabulary", "weighting": "paper"}, TEXTS[:1]),
        ({}, TEXTS[:1]),
    ],
)
def test_the_example_program_draws_the_maps_of_the_library(
    demo, written, settings, texts, tmp_path, monkeypatch, capsys
):
    """All cases share the exported tower; text features and description differ."""
    vocabulary = ("tree", "car", "sheep", "boat")
    explainer = replace(demo, method=ClipSurgery(**settings), vocabulary=vocabulary)
    folder = tmp_path / "bundle"
    folder.mkdir()
    os.link(written.folder / "tower.onnx", folder / "tower.onnx")
    features = explainer.encode(texts)
    bundle.write_description(explainer, folder, "onnx", features)
    monkeypatch.chdir(tmp_path)
    with Image.open(SCENE / "scene.png") as scene:
        scene.convert("RGB").resize((170, 100)).save("street.png")

    variables = runpy.run_path(str(EXAMPLE))
    explanation = explainer(["street.png"], texts)
    [expected] = explanation.patch_scores
    torch.testing.assert_close(torch.from_numpy(variables["scores"]), expected, rtol=0, atol=1e-4)
    [maps] = heatmaps(explanation)
    torch.testing.assert_close(torch.from_numpy(variables["heat"]), maps[-1], rtol=0, atol=1e-3)
    assert capsys.readouterr().out.count("\n") == len(texts)


@pytest.mark.slow
def test_the_example_needs_neither_torch_nor_this_library(written, tmp_path):
    (tmp_path / "bundle").symlink_to(written.folder)
    with Image.open(SCENE / "scene.png") as scene:
        scene.save(tmp_path / "street.png")
    check = (
        f"import runpy, sys; runpy.run_path({str(EXAMPLE)!r}); "
        "assert not {'torch', 'clip_surgery', 'safetensors'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a pig.png").exists()


def test_a_method_without_features_of_patches_is_refused(demo, tmp_path):
    with pytest.raises(InputError, match=r"clip_surgery.*but got grad_cam"):
        export_bundle(demo.with_method(GradCam()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_refused(demo, tmp_path):
    with pytest.raises(UnknownNameError, match="Known: onnx, torch"):
        export_bundle(demo, tmp_path, to="onyx")


def test_a_folder_that_is_a_file_is_refused(demo, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file: cannot be written"):
        export_bundle(demo, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_without_the_extra_the_message_has_the_command(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-surgery\[export\]'"):
        export_bundle(demo, tmp_path)


@pytest.mark.slow
def test_an_export_that_differs_is_not_written(demo, tmp_path, monkeypatch):
    (tmp_path / "bundle.json").write_text("older")
    monkeypatch.setattr(bundle, "write_torch", lambda *_: None)
    monkeypatch.setattr(
        bundle, "open_torch", lambda _: lambda pixels: (torch.tensor(0.0), torch.tensor(torch.nan))
    )
    with pytest.raises(UnsupportedModelError, match="differ from the model's by"):
        export_bundle(demo, tmp_path, to="torch")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.json"]
    assert (tmp_path / "bundle.json").read_text() == "older"


def test_a_tower_that_branches_on_its_pixels_is_refused(demo, tmp_path):
    def embed(pixels):
        return demo.backbone.tower.embed(pixels if pixels.sum() > 0 else -pixels)

    tower = replace(demo.backbone.tower, embed=embed)
    explainer = replace(demo, backbone=replace(demo.backbone, name="mine", tower=tower))
    with pytest.raises(UnsupportedModelError, match=r"mine: torch.export cannot trace"):
        export_bundle(explainer, tmp_path, to="torch")


@pytest.mark.parametrize("open_file", [open_onnx, open_torch])
def test_a_damaged_file_is_named(open_file, tmp_path):
    (tmp_path / "tower").write_bytes(b"no tower")
    with pytest.raises(InputError, match=r"tower: .* cannot run it"):
        open_file(tmp_path / "tower")


@pytest.mark.slow
def test_pixels_that_do_not_fit_are_refused(written):
    with pytest.raises(InputError, match=r"tower.onnx: onnxruntime cannot run it"):
        open_onnx(written.folder / "tower.onnx")(torch.zeros(1, 4, 16, 16))
