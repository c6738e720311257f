import json
from pathlib import Path

import pytest

from clip_surgery.export import bundle as bundles
from clip_surgery.export import load_texts


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

    def export_bundle(explainer, folder, *, to, texts):
        given.update(explainer=explainer, folder=folder, to=to, texts=texts)
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


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
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
