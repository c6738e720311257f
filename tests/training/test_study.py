"""The study of the recipe: options of the loss, averaged weights, words outside the label set."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe import checkpoint, study
from recipe.average import Average
from recipe.blocks import contrast_by_block
from recipe.config import CONFIGS, Config
from recipe.data import SceneSource
from recipe.localisation import area_under_curve, judge, localisation, noise_shares
from recipe.loop import scenes_task, train
from recipe.loss import caption_loss, label_loss
from recipe.model import build, optimiser
from recipe.package import export, load_compact
from recipe.understanding import understanding
from recipe.vocabulary import FEW_TEMPLATES, Vocabulary
from recipe.words import COLOURS, MORE_WORDS, coloured, described_batch, phrase, size_word

from clip_surgery.errors import WeightsError
from clip_surgery.evaluation.datasets.scenes import TRAINING_NOUNS, training_batch

TINY = dataclasses.replace(CONFIGS["tiny"], samples=128, minutes=10.0)


def test_competing_labels_are_a_cross_entropy_with_a_uniform_target() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7)
    present = torch.rand(5, 7) < 0.4
    present[0] = False
    each = []
    for row, held in zip(logits, present, strict=True):
        if held.any():
            each.append(-float(row.log_softmax(0)[held].mean()))
    one_way = label_loss(logits, present, compete=True, both_ways=False)
    assert float(one_way) == pytest.approx(np.mean(each), abs=1e-5)
    turned = label_loss(logits.T, present.T, compete=True, both_ways=False)
    both = label_loss(logits, present, compete=True)
    assert float(both) == pytest.approx(float(one_way + turned) / 2, abs=1e-5)


def test_without_a_mask_every_other_caption_is_a_negative() -> None:
    logits = torch.randn(4, 4)
    mask = torch.eye(4, dtype=torch.bool)
    assert torch.allclose(caption_loss(logits), caption_loss(logits, mask))


def test_captions_alone_encode_no_prompts() -> None:
    config = dataclasses.replace(TINY, label_weight=0.0)
    batch = SceneSource(config, Vocabulary(config.nouns)).batch(0, 0.0)
    assert len(batch.tokens) == config.batch


def test_few_templates_are_seven_that_the_vocabulary_holds() -> None:
    assert len(set(FEW_TEMPLATES)) == 7
    Vocabulary(TRAINING_NOUNS).encode([template.format("cow") for template in FEW_TEMPLATES])


def test_the_share_of_opposite_maps_and_the_noise_share() -> None:
    inside = np.zeros((4, 4), bool)
    inside[0, 0] = True
    dark, bright = np.ones((4, 4)), np.zeros((4, 4))
    dark[0, 0], bright[0, 0] = 0.0, 1.0
    assert judge(dark, inside)[:2] == (-1.0, 1.0)
    assert judge(bright, inside)[:2] == (1.0, 0.0)
    maps = torch.zeros(3, 20)
    maps[0, :2] = maps[1, :2] = maps[2, 1:3] = 1.0
    assert noise_shares(maps, torch.tensor([True, False, False])) == [0.75]
    assert area_under_curve(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0])) == 0.625


def test_the_average_follows_the_weights() -> None:
    model = build(TINY, len(Vocabulary(TINY.nouns)))
    average = Average(model, 0.5)
    with torch.no_grad():
        model.visual.proj.add_(1.0)
    before = average.model.visual.proj.clone()
    average.update(100)
    assert torch.allclose(average.model.visual.proj, before + 0.5)
    assert Average(model, 0.0).model is model


@pytest.mark.slow
def test_a_run_exports_its_averaged_weights_and_can_be_trained_further(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, average_decay=0.9, described_every=7, minutes=math.inf)
    train(config, tmp_path / "run")
    parts = checkpoint.read(tmp_path / "run" / checkpoint.FILE)
    averaged, current = (parts[name]["visual.proj"] for name in ("average", "model"))
    assert not torch.equal(averaged, current)
    export(tmp_path / "run", tmp_path / "out")
    vocabulary = Vocabulary(config.nouns, MORE_WORDS)
    model = build(dataclasses.replace(config, seed=99), len(vocabulary))
    weights = tmp_path / "out" / "model.safetensors"
    load_compact(model, weights, vocabulary.ids)
    assert torch.allclose(model.visual.proj, averaged, atol=1e-3)
    with pytest.raises(WeightsError, match="missing"):
        load_compact(model, tmp_path / "missing.safetensors", vocabulary.ids)


@pytest.mark.parametrize("ends", [(), ("output",), ("input", "output")])
def test_parts_of_the_image_tower_start_fresh(tmp_path: Path, ends: tuple[str, ...]) -> None:
    config = dataclasses.replace(TINY, kept_blocks=1, fresh_ends=ends)
    vocabulary = Vocabulary(config.nouns)
    first, fresh = build(config, len(vocabulary)), build(config, len(vocabulary))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    checkpoint.save(
        tmp_path,
        first,
        optimiser(first, config),
        checkpoint.Progress(),
        config,
        vocabulary.ids,
    )
    export(tmp_path, tmp_path)
    load_compact(fresh, tmp_path / "model.safetensors", vocabulary.ids, config)
    loaded = {
        name
        for name, value in fresh.state_dict().items()
        if torch.allclose(value, first.state_dict()[name], atol=1e-2)
    }
    of_image_tower = {name for name in loaded if name.startswith("visual.")}
    assert "transformer.resblocks.0.mlp.c_fc.weight" in loaded
    assert "logit_scale" not in loaded
    assert "visual.transformer.resblocks.0.mlp.c_fc.weight" in loaded
    assert not any(name.startswith("visual.transformer.resblocks.1.") for name in loaded)
    assert ("visual.conv1.weight" in of_image_tower) == ("input" not in ends)
    assert ("visual.class_embedding" in of_image_tower) == ("input" not in ends)
    assert ("visual.proj" in of_image_tower) == ("output" not in ends)
    assert ("visual.ln_post.bias" in of_image_tower) == ("output" not in ends)


@pytest.mark.parametrize("name", ["second", "third"])
def test_a_later_training_asks_for_the_weights_that_it_starts_from(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--config", name, "--out", "runs/none"])
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    with pytest.raises(SystemExit):
        import_module("train").main()
    assert "needs --weights" in capsys.readouterr().err


def test_a_scene_in_seven_is_described_by_a_colour_or_a_size() -> None:
    wanted = {"seed": 3, "start": 5, "count": 40, "size": 32, "names": TRAINING_NOUNS}
    plain = training_batch(**wanted, most_objects=5)
    words = described_batch(every=7, **wanted, most_objects=5)
    changed = [row for row in range(40) if words.captions[row] != plain.captions[row]]
    assert changed
    assert all((5 + row) % 7 == 0 for row in changed)
    assert words.names_place[changed].all()
    assert (words.named & ~words.present).sum() == 0
    Vocabulary(TRAINING_NOUNS, MORE_WORDS).encode(words.captions)


def test_words_of_colour_and_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    inside = np.zeros((8, 8), bool)
    inside[2:5, 2:5] = True
    red = coloured(pixels, inside, "red")
    assert np.array_equal(red[~inside], pixels[~inside])
    assert red[inside].astype(float).mean(0).argmax() == 0
    assert [size_word(share) for share in (0.01, 0.05, 0.2)] == ["small", None, "large"]
    assert phrase(["orange", "cow"]) == "an orange cow"
    assert phrase(["red", "wine"]) == "red wine"
    assert len(COLOURS) == 10


def test_understanding_is_reported_for_colours_sizes_and_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recipe.understanding.SCENES", 8)
    config = dataclasses.replace(TINY, described_every=7)
    task = scenes_task(config)
    model = build(config, len(task.vocabulary))
    figures = understanding(model, config, task.vocabulary)
    assert set(figures) == {"colour accuracy", "size accuracy", "place accuracy"}
    assert all(0 <= value <= 1 for value in figures.values())


@pytest.mark.slow
def test_the_study_trains_its_variants_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = study.Variants(
        base=dataclasses.replace(TINY, samples=64),
        changes={"shipped": {}, "captions alone": {"label_weight": 0.0}},
    )
    monkeypatch.setitem(study.LISTS, "tiny", variants)
    study.run_study(tmp_path, "tiny", None, [1])
    rows = json.loads((tmp_path / "study.json").read_text())
    assert {row["variant"] for row in rows} == {"shipped", "captions alone"}
    assert (tmp_path / "study.md").read_text().count("\n") == 4
    monkeypatch.setattr(study, "train", lambda *_, **__: pytest.fail("trained again"))
    study.run_study(tmp_path, "tiny", None, [1])


def test_every_variant_of_the_study_is_a_configuration() -> None:
    for variants in study.LISTS.values():
        for name in variants.changes:
            config = variants.config(name, 8)
            assert isinstance(config, Config)
            assert config.seed == 8
    trial, shipped = (study.LISTS["scratch"].config(name, 7) for name in ("trial", "shipped"))
    different = [f.name for f in dataclasses.fields(Config)]
    different = [name for name in different if getattr(trial, name) != getattr(shipped, name)]
    assert set(different) == set(study.TRIAL)


@pytest.mark.slow
def test_the_contrast_by_block_ends_with_that_of_plain_clip() -> None:
    vocabulary = Vocabulary(TINY.nouns)
    model = build(TINY, len(vocabulary))
    rows = contrast_by_block(model, TINY, vocabulary)
    assert [(row["block"], row["feed-forward"]) for row in rows] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    figures = localisation(model, TINY, vocabulary)
    assert rows[-1]["mSC"] == pytest.approx(figures["plain mSC"], abs=1e-4)
    assert rows[-1]["opposite"] == pytest.approx(figures["plain opposite"], abs=1e-2)
    assert all(-2 < row["on object"] < 2 for row in rows)
    assert rows[0]["on object"] != rows[0]["on background"]


def test_the_table_of_kept_parts_is_that_of_the_stored_runs() -> None:
    folder = Path(study.__file__).parents[1]
    page = (folder / "README.md").read_text("utf-8")
    for run in json.loads((folder / "kept_parts.json").read_text("utf-8")):
        measured = ("plain mSC", "plain opposite", "surgery pointing", "surgery AUC", "surgery IoU")
        cells = [str(run[key]) for key in ("kept", "blocks", "seed")]
        cells += [f"{run[key]:g}" for key in ("label_weight", "peak_rate")]
        cells += [
            f"{100 * run[key]:.1f}" if key in run else "" for key in (*measured, "both presence")
        ]
        assert f"| {' | '.join(cells)} |" in page
