"""Training: it learns, goes on where it was cut off, and exports plain open_clip weights."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from recipe import checkpoint
from recipe.config import CONFIGS, Config
from recipe.data import Batch, SceneSource, patches_at, random_patches
from recipe.loop import Task, rate, scenes_task, train
from recipe.loss import also_true, caption_loss, label_loss
from recipe.measure import encode_texts
from recipe.model import build
from recipe.package import export
from recipe.processes import Processes
from recipe.towers import image_features, patches_of
from recipe.vocabulary import LABEL_TEMPLATES, Vocabulary
from safetensors.torch import load_file

from clip_surgery.errors import WeightsError
from clip_surgery.evaluation.datasets.scenes import TRAINING_NOUNS, SceneDataset

SAMPLES = 960
ROOT = Path(__file__).parents[2]
TINY = dataclasses.replace(
    CONFIGS["tiny"], samples=SAMPLES, minutes=10.0, log_steps=2, retrieval_steps=30
)


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(TINY, folder)
    return folder


def test_a_few_steps_reduce_the_loss(run: Path) -> None:
    losses = [line["captions"] + line["labels"] for line in lines(run) if "captions" in line]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.1


def test_the_log_holds_retrieval_and_localisation(run: Path) -> None:
    keys = set().union(*lines(run))
    assert {"retrieval", "label_precision", "images_per_second", "scale", "share"} <= keys
    assert {"plain mSC", "surgery mSC", "surgery IoU", "surgery AUC", "plain pointing"} <= keys


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "training/train.py", "--config", "tiny", "--out", str(tmp_path)]
    command += ["--samples", str(SAMPLES)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [*command, "--checkpoint-minutes", "0"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    file = tmp_path / checkpoint.FILE
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stopped = checkpoint.read(file)["progress"]["samples"]
    assert 0 < stopped < SAMPLES
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert f"from sample {stopped}," in done.stderr
    assert checkpoint.read(file)["progress"]["samples"] >= SAMPLES


def unmeasured(config: Config) -> Task:
    return dataclasses.replace(scenes_task(config), often=lambda _: {}, seldom=lambda _: {})


@pytest.mark.slow
def test_a_run_in_two_calls_equals_one_in_one_piece(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, samples=320)
    train(config, tmp_path / "whole", unmeasured(config))
    source = SceneSource(config, Vocabulary(config.nouns))
    calls = dataclasses.replace(unmeasured(config), source=Interrupted(source, 160))
    with pytest.raises(KeyboardInterrupt):
        train(dataclasses.replace(config, checkpoint_minutes=0.0), tmp_path / "cut", calls)
    assert checkpoint.read(tmp_path / "cut" / checkpoint.FILE)["progress"]["samples"] == 160
    train(config, tmp_path / "cut", unmeasured(config))
    whole, cut = (
        checkpoint.read(tmp_path / name / checkpoint.FILE)["model"] for name in ("whole", "cut")
    )
    for name, weights in whole.items():
        assert torch.allclose(weights, cut[name], atol=1e-6), name


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    arguments = ["training/train.py", "--config", "tiny", "--samples", "320", "--out"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, before in (("one", []), ("two", launch)):
        command = [sys.executable, *before, *arguments, str(tmp_path / name)]
        done = subprocess.run(
            command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    one, two = (checkpoint.read(tmp_path / name / checkpoint.FILE) for name in ("one", "two"))
    assert one["progress"]["steps"] == two["progress"]["steps"] == 10
    for name, weights in one["model"].items():
        assert torch.allclose(weights, two["model"][name], atol=2e-5), name
    logs = [[line.get("captions") for line in lines(tmp_path / name)] for name in ("one", "two")]
    assert logs[0] == pytest.approx(logs[1], abs=2e-4)


def test_the_parts_of_three_processes_hold_each_text_once() -> None:
    parts = [Processes(rank=rank, count=3).part(160) for rank in range(3)]
    assert [index for part in parts for index in range(160)[part]] == list(range(160))


class Interrupted:
    """A source that is interrupted before the batch that starts at `end`."""

    def __init__(self, source: SceneSource, end: int) -> None:
        self.source, self.end = source, end

    def batch(self, start: int, share: float) -> Batch:
        if start >= self.end:
            raise KeyboardInterrupt
        return self.source.batch(start, share)


def test_the_export_loads_in_plain_open_clip_and_says_the_same(run: Path, tmp_path: Path) -> None:
    facts = export(run, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == json.loads(json.dumps(facts))
    weights = tmp_path / "model.safetensors"
    assert config["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    model = CLIP(**config["model_cfg"])
    model.load_state_dict(load_file(weights))
    model.eval()

    vocabulary = Vocabulary(TINY.nouns)
    trained = build(TINY, len(vocabulary))
    trained.load_state_dict(checkpoint.read(run / checkpoint.FILE)["model"])
    texts = ["a photo of a cow.", "", "a koala" if "koala" in TINY.nouns else "a dog"]
    scene = SceneDataset(seed=1, count=1, size=32)[0].image
    pixels = torch.from_numpy(np.array(scene))[None]
    patches = patches_at(pixels, 8)
    with torch.no_grad():
        ours = encode_texts(trained, TINY, vocabulary, texts)
        theirs = model.encode_text(SimpleTokenizer()(texts), normalize=True)
        assert torch.allclose(ours, theirs, atol=4e-3)
        mean = torch.tensor(config["preprocess_cfg"]["mean"])
        std = torch.tensor(config["preprocess_cfg"]["std"])
        prepared = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        seen = model.encode_image(prepared, normalize=True)
        assert torch.allclose(image_features(trained, patches), seen, atol=4e-3)


@pytest.mark.parametrize("damage", ["missing", "cut off", "no checkpoint", "another model"])
def test_a_damaged_checkpoint_is_named(run: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / checkpoint.FILE
    whole = (run / checkpoint.FILE).read_bytes()
    if damage == "cut off":
        file.write_bytes(whole[: len(whole) // 2])
    elif damage == "no checkpoint":
        torch.save({"weights": torch.zeros(1)}, file)
    elif damage == "another model":
        file.write_bytes(whole)
    other = dataclasses.replace(TINY, model=CONFIGS["cpu"].model)
    use = functools.partial(train, other, tmp_path)
    if damage != "another model":
        use = functools.partial(checkpoint.read, file)
    with pytest.raises(WeightsError, match=checkpoint.FILE):
        use()


def test_patches_are_in_the_order_of_the_convolution() -> None:
    pixels = torch.randint(0, 255, (2, 16, 16, 3), dtype=torch.uint8)
    patches = patches_at(pixels, 8)
    mean = torch.tensor((0.48145466, 0.4578275, 0.40821073))
    std = torch.tensor((0.26862954, 0.26130258, 0.27577711))
    planes = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
    assert torch.allclose(patches, patches_of(planes, 8), atol=1e-6)
    which = random_patches(2, 4, 0.5, 3, "cpu")
    assert all(len(set(row)) == 2 for row in which.tolist())
    some = patches_at(pixels, 8, which)
    assert torch.equal(some, patches.gather(1, which[..., None].expand(-1, -1, 192)))


def test_losses_against_loops() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7)
    present = torch.rand(5, 7) < 0.4
    present[0, 0] = True
    total = count = 0.0
    for i, j in present.nonzero().tolist():
        row = sum(logits[i, k].exp() for k in range(7) if not present[i, k])
        column = sum(logits[k, j].exp() for k in range(5) if not present[k, j])
        own = logits[i, j].exp()
        total += float(-(own / (own + row)).log() - (own / (own + column)).log()) / 2
        count += 1
    assert float(label_loss(logits, present)) == pytest.approx(total / count, abs=1e-5)

    named = present & (torch.rand(5, 7) < 0.5)
    places = torch.tensor([False, True, False, False, True])
    true = also_true(named, places, present)
    square = logits[:, :5]
    both = 0.0
    for turned, flags in ((square, true), (square.T, true.T)):
        for i in range(5):
            among = [turned[i, k].exp() for k in range(5) if k == i or not flags[i, k]]
            both += float(-(turned[i, i].exp() / sum(among)).log()) / 10
    assert float(caption_loss(square, true)) == pytest.approx(both, abs=1e-5)
    for i in range(5):
        for j in range(5):
            nouns = set(named[j].nonzero().flatten().tolist())
            held = set(present[i].nonzero().flatten().tolist())
            assert bool(true[i, j]) == (nouns <= held and not bool(places[j]))


def test_the_vocabulary_covers_all_prompts_and_captions() -> None:
    vocabulary = Vocabulary(TRAINING_NOUNS)
    assert len(LABEL_TEMPLATES) == 85
    prompts = [template.format(noun) for template in LABEL_TEMPLATES for noun in TRAINING_NOUNS]
    captions = [sample.caption or "" for sample in SceneDataset(seed=4, count=200, size=32)]
    tokens, ends = vocabulary.encode([*prompts, *captions, ""])
    assert tokens.shape[1] <= Config().model.positions
    assert int(ends[-1]) == 1
    assert len(vocabulary) < 400


def test_the_learning_rate_rises_then_falls() -> None:
    schedule = Config().schedule
    rates = [rate(schedule, share) for share in np.linspace(0, 1, 101)]
    peak = int(np.argmax(rates))
    assert 0 < peak < 10
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
