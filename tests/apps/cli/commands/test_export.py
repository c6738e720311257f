import json
from pathlib import Path

import pytest
from PIL import Image

from clip_surgery.export import bundle as bundles
from clip_surgery.export import load_texts
from clip_surgery.export.web import site


@pytest.fixture
def words(home):
    Path("words.txt").write_text("pig\nbench\n")
    return Path("words.txt")


@pytest.mark.slow
def test_a_tower_and_its_words(cli, words):
    done = cli("export", "--to", "torch", "--labels", words, "--out", "made", "--depth", 3)
    assert done.code == 0, done.err
    names = ["bank.safetensors", "bundle.json", "tower.pt2"]
    assert done.out.splitlines()[:3] == [f"wrote made/{name}" for name in names]
    assert "largest difference from the model:" in done.out
    assert sorted(path.name for path in Path("made").iterdir()) == names
    facts = json.loads(Path("made/bundle.json").read_text())
    assert facts["texts"] == ["pig", "bench"]
    assert "depth=3" in facts["method"]
    assert load_texts("made/bank.safetensors")[0].texts == ("pig", "bench")


def test_the_options_reach_the_bundle(cli, words, monkeypatch):
    given = {}

    def export_bundle(explainer, folder, **settings):
        given.update(explainer=explainer, folder=folder, **settings)
        return bundles.Bundle(folder=folder, files=(), difference=0.0)

    monkeypatch.setattr(bundles, "export_bundle", export_bundle)
    method = "clip_surgery(redundancy=vocabulary)"
    assert cli("export", "--method", method, "--templates", "photo", "--size", 128).code == 0
    explainer = given["explainer"]
    assert explainer.vocabulary
    assert len(explainer.templates) == 1
    assert explainer.framing.size == 128
    assert explainer.backbone.device.type == "cpu"
    assert (given["folder"], given["to"], given["texts"]) == (Path("bundle"), "onnx", None)
    assert (given["weights"], given["calibration"]) == ("float32", [])


def test_the_options_reach_the_site(cli, words, monkeypatch):
    given = {}

    def export_web(explainer, folder, **settings):
        given.update(folder=folder, **settings)
        return site.WebSite(folder=folder, files=("index.html",), difference=0.0)

    monkeypatch.setattr(site, "export_web", export_web)
    Path("photos").mkdir()
    Image.new("RGB", (4, 4)).save("photos/a.png")
    options = ["--any-word", "--example", "photos/a.png", "--no-webgpu", "--runtime", "ort.tgz"]
    options += ["--quantise", "int8", "--calibration", "photos"]
    done = cli("export", "--to", "web", "--labels", words, "--out", "made", *options)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "wrote made/index.html"
    assert given == {
        "folder": Path("made"),
        "texts": ("pig", "bench"),
        "any_word": True,
        "weights": "int8",
        "calibration": [Path("photos/a.png")],
        "examples": [Path("photos/a.png")],
        "webgpu": False,
        "runtime": Path("ort.tgz"),
    }


def test_another_page_is_not_replaced(cli, words):
    Path("made").mkdir()
    Path("made/index.html").write_text("my own page")
    done = cli("export", "--to", "web", "--labels", words, "--out", "made")
    assert done.code == 2
    assert "made/model.json: holds another export; choose another --out" in done.err
    assert Path("made/index.html").read_text() == "my own page"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "web"], "Expected the words of the web site"),
        (["--quantise", "int8", "--calibration", "none"], "none: no such file"),
        (["--to", "coreml"], "Invalid value for '--to'"),
        (["--labels", "none.txt"], "none.txt: expected a file of labels"),
        (["--method", "grad_cam"], "but got grad_cam, which cannot be exported"),
        (["--model", "open_clip:ViT-B-17/openai"], "ViT-B-16"),
        (["--out", "words.txt"], "words.txt: cannot be written"),
    ],
)
def test_wrong_usage(cli, words, arguments, reason):
    done = cli("export", *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_a_small_model_says_what_it_does_not_know(cli, words):
    words.write_text("zeppelin\n")
    done = cli("export", "--method", "rollout", "--labels", words)
    assert "not zeppelin" in done.err
