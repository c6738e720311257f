"""The examples of the documentation run as they are written, offline, in a folder of their own."""

import runpy
from pathlib import Path

import pytest
import torch

from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.export import export_bundle
from clip_surgery.loading import load
from clip_surgery.methods.registry import method_named
from clip_surgery.text.bank import encode_texts
from tests.slow_cases import slow_except

EXAMPLES = sorted((Path(__file__).parents[1] / "docs/examples").glob("*.py"))


# These take long: one exports a model, one checks a method on five towers, one starts processes.
SLOW = {
    *("onnx_bundle.py", "own_method.py", "own_dataset.py", "batch.py", "trust.py", "audit.py"),
    *("promises.py", "decompose.py", "match.py"),
}
QUICK = [path for path in EXAMPLES if path.name not in SLOW]


@pytest.mark.parametrize("path", slow_except(EXAMPLES, QUICK), ids=lambda path: path.name)
def test_example_runs_twice(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if path.name == "onnx_bundle.py":
        write_bundle()
    for attempt in ("first", "second"):
        runpy.run_path(str(path), run_name="__main__")
        assert capsys.readouterr().out.strip(), f"{path.name} prints nothing in its {attempt} run"


def write_bundle():
    """What this example runs, written as its first lines say, and an image."""
    read_scene().image.image.save("street.png")
    export_bundle(load("demo"), "bundle", texts=["bench", "person"])


def test_there_are_examples():
    assert len(EXAMPLES) >= 7


def test_the_example_of_training_improves_the_map(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = Path(__file__).parents[1] / "docs/examples/gradients.py"
    runpy.run_path(str(path), run_name="__main__")
    contrasts = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert contrasts == sorted(set(contrasts))


def test_texts_that_are_encoded_with_gradients_train_the_text_tower():
    backbone = load("demo").backbone
    texts = encode_texts(backbone, ["dog", "cat", "bus", "tree"], templates="photo")
    evidence = method_named("clip_surgery")(backbone, torch.rand(1, 3, 96, 96), texts)
    evidence.patches[:, 0].mean().backward()
    gradients = [parameter.grad for parameter in backbone.model.transformer.parameters()]
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients)
