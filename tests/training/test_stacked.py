"""Variants trained together have the weights that each has when it is trained alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe import checkpoint, study
from recipe.config import CONFIGS, Schedule
from recipe.data import Batch
from recipe.localisation import judge
from recipe.loop import Step
from recipe.model import build, optimiser
from recipe.stacked.contrast import contrasts
from recipe.stacked.effects import contrast_at, effects, stages, tables
from recipe.stacked.measure import measure_all
from recipe.stacked.model import Stack
from recipe.stacked.run import train_stacked
from recipe.stacked.store import compose_store, load_store
from recipe.stacked.update import Flags, Prompts, StackedBatch, StackedStep, draw_batch
from recipe.study import LAST, TRIAL
from recipe.vocabulary import Vocabulary
from recipe.words import MORE_WORDS, described_batch

from clip_surgery.evaluation.datasets.scenes import training_batch

RUNS = Path(study.__file__).parents[1] / "stacked.json"
TINY = dataclasses.replace(
    CONFIGS["tiny"], samples=60, batch=12, described_every=7, average_decay=0.9
)
VARIANTS = (
    TINY,
    dataclasses.replace(TINY, **TRIAL, seed=8),
    dataclasses.replace(TINY, label_weight=0.0, empty_captions=0.3, seed=9),
    dataclasses.replace(TINY, described_every=0, labels_compete=True),
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(TINY.nouns, MORE_WORDS)


@pytest.fixture(scope="module")
def store():
    return compose_store(TINY, every=7, workers=1)


def alone(batch: StackedBatch, row: int, described: bool) -> Batch:
    """The batch as one variant sees it."""
    return Batch(
        patches=batch.patches[int(described)],
        kept=batch.kept,
        tokens=batch.tokens[row],
        ends=batch.ends[row],
        present=batch.present,
        also_true=batch.also_true[row],
    )


@pytest.mark.slow
def test_the_store_holds_the_scenes_of_the_training_stream(store) -> None:
    few = round(TINY.schedule.few_objects_until * TINY.samples)
    for start, count, most in ((0, few, 2), (few, 60 - few, 5)):
        scenes = {"seed": 7, "start": start, "count": count, "size": 32, "names": TINY.nouns}
        plain = training_batch(**scenes, most_objects=most)
        described = described_batch(every=7, **scenes, most_objects=most)
        images = store.images(start, count).numpy()
        assert np.array_equal(images[0], plain.pixels)
        assert np.array_equal(images[1], described.pixels)
        for texts, batch in zip(store.captions, (plain, described), strict=True):
            rows = texts.rows(start, count)
            assert np.array_equal(rows.named.numpy(), batch.named)
            assert np.array_equal(rows.says_more.numpy(), batch.names_place)
    assert not torch.equal(store.images(0, 60)[0], store.images(0, 60)[1])


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_three_updates_together_are_those_of_each_variant_alone(store, vocabulary, keep) -> None:
    models = [build(config, len(vocabulary)) for config in VARIANTS]
    stack, flags = Stack(models), Flags.of(VARIANTS)
    prompts = Prompts(TINY, vocabulary)
    step = StackedStep(stack, flags, TINY)
    steps = [
        Step(model, optimiser(model, config), config)
        for model, config in zip(models, VARIANTS, strict=True)
    ]
    for number in range(3):
        batch = draw_batch(store, prompts, flags, TINY, 12 * number, keep, 32, draw=number)
        losses = step(batch, 1e-3)
        for row, (own, config) in enumerate(zip(steps, VARIANTS, strict=True)):
            single = alone(batch, row, config.described_every > 0)
            if not config.label_weight:
                tokens, ends = single.tokens[:12], single.ends[:12]
                single = dataclasses.replace(single, tokens=tokens, ends=ends)
            parts = own(single, 1e-3)
            expected = parts["captions"] + parts.get("labels", 0.0)
            assert float(losses[row]) == pytest.approx(float(expected), rel=1e-4)
    for row, model in enumerate(models):
        for name, value in stack.state(row).items():
            assert torch.allclose(value, model.state_dict()[name], atol=2e-4), name


@pytest.mark.slow
def test_variants_differ_in_what_their_settings_say(store, vocabulary) -> None:
    prompts, flags = Prompts(TINY, vocabulary), Flags.of(VARIANTS)
    batch = draw_batch(store, prompts, flags, TINY, 0, 1.0, 32, draw=0)
    assert batch.tokens.shape == (4, 12 + 8, 32)
    emptied = (batch.ends[:, :12] == 1).sum(1)
    assert emptied[1] == 0
    assert emptied[2] > 0
    assert batch.also_true[2][:, batch.ends[2, :12] == 1].all()
    again = draw_batch(store, prompts, flags, TINY, 0, 1.0, 32, draw=0)
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True) if a is not None)


def test_the_contrast_is_that_of_the_judge() -> None:
    rng = np.random.default_rng(0)
    maps, inside = rng.normal(size=(5, 9, 9)), rng.random((5, 9, 9)) < 0.3
    expected = [judge(one, mask)[0] for one, mask in zip(maps, inside, strict=True)]
    result = contrasts(torch.from_numpy(maps), torch.from_numpy(inside))
    assert result.numpy() == pytest.approx(np.array(expected))


@pytest.mark.slow
def test_a_run_writes_checkpoints_curves_and_figures(tmp_path, store) -> None:
    schedule = Schedule(keep=((0.5, 0.5), (1.0, 1.0)))
    base = dataclasses.replace(TINY, schedule=schedule)
    variants = {"one.7": base, "two.8": dataclasses.replace(base, **TRIAL, seed=8)}
    store.save(tmp_path / "store.pt")
    train_stacked(variants, tmp_path / "study", load_store(tmp_path / "store.pt", "cpu"))
    rows = measure_all(tmp_path / "study", workers=1)
    assert [(row["variant"], row["seed"]) for row in rows] == [("one", "7"), ("two", "8")]
    curves = json.loads((tmp_path / "study/curves.json").read_text())
    assert set(curves) == set(variants)
    assert len(curves["one.7"]) == 5
    parts = checkpoint.read(tmp_path / "study/two.8" / checkpoint.FILE)
    assert parts["progress"]["samples"] == 60
    assert parts["config"]["labels_compete"]
    assert (tmp_path / "study/one.7" / LAST).exists()


def test_effects_are_those_that_made_the_numbers() -> None:
    rng = np.random.default_rng(0)
    runs = []
    for number in range(80):
        settings = {
            "label_weight": (0.0, 0.3, 1.0)[number % 3],
            "labels_compete": bool(rng.integers(2)),
            "labels_both_ways": bool(rng.integers(2)),
            "label_templates": ("few", "all")[rng.integers(2)],
            "true_captions_are_negatives": bool(rng.integers(2)),
            "empty_captions": 0.01 * rng.integers(2),
            "described_every": 7 * int(rng.integers(2)),
        }
        contrast = -0.05 - 0.09 * (number % 3 == 0) + 0.02 * settings["true_captions_are_negatives"]
        curve = [{"scenes": 100, "plain mSC": contrast + rng.normal(scale=0.01)}]
        runs.append({"study": 1 + number % 2, "settings": settings, "curve": curve})
    found = effects(runs, 100)
    for name, expected in (("captions alone", -9), ("true captions are negatives", 2)):
        value, half = found[name]
        assert abs(value - expected) < 2 * half < 3
    assert abs(found["few templates"][0]) < 1
    mean, _, below = stages(runs)[100]
    assert mean == pytest.approx(np.mean([contrast_at(run, 100) for run in runs]))
    assert below == 100


def test_the_readme_has_the_tables_of_the_recorded_runs() -> None:
    readme = (RUNS.parent / "README.md").read_text(encoding="utf-8")
    for table in tables(json.loads(RUNS.read_text(encoding="utf-8"))).split("\n\n"):
        assert table.strip() in readme
