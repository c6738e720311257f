import pytest

from clip_surgery.apps.cli.commands.methods import cost
from clip_surgery.loading import load
from clip_surgery.methods.costs import measure_costs, measured_costs
from clip_surgery.methods.registry import METHODS, as_method
from clip_surgery.presets import PRESETS


def test_methods_are_listed_with_settings(cli):
    done = cli("methods")
    assert done.code == 0
    for name, method in METHODS.items():
        assert name in done.out
        assert method.paper in done.out
    assert "depth=auto" in done.out
    stored = measured_costs()
    assert " ".join(stored.source.split()[:2]) in done.out
    assert cost(stored.ratios["similarity"]) in done.out
    for name, preset in PRESETS.items():
        assert name in done.out
        assert preset.summary in " ".join(done.out.split())


@pytest.mark.slow
def test_the_cost_is_measured_on_this_machine(cli, monkeypatch):
    names = ("similarity", "clip_surgery", "gem", "legrad", "proxy_clip")
    few = {name: METHODS[name] for name in names}
    monkeypatch.setattr("clip_surgery.methods.registry.METHODS", few)
    done = cli("methods", "--measure")
    assert done.code == 0, done.err
    assert "cost: demo, 96 px, 20 texts, on this machine" in done.out
    backbone = load("demo").backbone
    methods = {name: as_method(name) for name in few}
    ratios = measure_costs(backbone, methods, side=32, repeats=2)
    assert list(ratios) == ["similarity", "clip_surgery", "gem", "legrad"]  # there is no companion
    assert all(ratio > 0 for ratio in ratios.values())


def test_models_are_listed(cli):
    done = cli("models")
    assert done.code == 0
    for name in ("demo", "open_clip:ViT-B-16/openai", "hugging_face:NAME"):
        assert name in done.out


def test_models_by_a_word(cli):
    done = cli("models", "vit-l-14/")
    assert done.code == 0
    assert "open_clip:ViT-L-14/openai" in done.out
    assert "ViT-B-16" not in done.out
    done = cli("models", "xyz")
    assert done.code == 2
    assert "No model has 'xyz' in its name" in done.err


def test_the_words_of_the_demo_model_are_listed(cli):
    done = cli("models", "demo")
    assert done.code == 0
    for word in ("nouns", "dog", "umbrella", "other words", "purple", "px in patches of"):
        assert word in done.out


def test_models_does_not_say_that_weights_were_downloaded(cli):
    done = cli("models", "vit-l-14/")
    assert "downloaded on first use" in done.out
    assert "fetched" not in done.out
