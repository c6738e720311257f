"""Training on photographs: packed, decoded, painted with exact tiles, trained on, measured."""

from __future__ import annotations

import dataclasses
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import WeightsError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from recipe import checkpoint  # noqa: E402
from recipe.config import Config, Model, Phase  # noqa: E402
from recipe.loop import train  # noqa: E402
from recipe.photographs import layout as layouts  # noqa: E402
from recipe.photographs.concepts import read_concepts  # noqa: E402
from recipe.photographs.measure import boxed, pixel_auc  # noqa: E402
from recipe.photographs.paint import Canvas  # noqa: E402
from recipe.photographs.store import Photographs, decode, load, pack  # noqa: E402
from recipe.photographs.task import photographs_task  # noqa: E402

CLASSES = {
    "n1": {"name": "tabby cat", "kind": "cat", "words": "tabby"},
    "n2": {"name": "banana", "kind": None, "words": "banana"},
    "n3": {"name": "school bus", "kind": "bus", "words": "school bus"},
}
TINY = Config(
    model=Model(
        image_size=32,
        width=64,
        layers=2,
        text_width=64,
        text_layers=1,
        joint_width=32,
        positions=48,
    ),
    phases=(Phase(until=0.5, windows=True), Phase(until=1, keep=0.5, scenes=0.25, sprites=0.5)),
    samples=64,
    batch=16,
    compiled="no",
    scene_nouns=("cow", "banana"),
    log_steps=1,
    retrieval_steps=100,
    localisation_steps=100,
)


def written(folder: Path, name: str, count: int) -> None:
    rng = np.random.default_rng(count)
    rows: dict[str, list[object]] = {"key": [], "label": [], "box": [], "image": []}
    for index in range(count):
        data = BytesIO()
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(data, "WEBP")
        rows["key"].append(str(index))
        rows["label"].append(list(CLASSES)[index % 3])
        rows["box"].append([0, 16, 31, 47])
        rows["image"].append(data.getvalue())
    pq.write_table(pa.table(rows), folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("photographs")
    written(source, "train-a", 30)
    written(source, "val", 12)
    (source / "classes.json").write_text(json.dumps(CLASSES))
    return source


def test_pieces_travel_and_lose_nothing(folder: Path, tmp_path: Path) -> None:
    largest = (folder / "train-a.parquet").stat().st_size // 2
    paths = pack(folder, tmp_path / "pieces", largest)
    assert len([path for path in paths if path.stem.startswith("train")]) >= 2
    concepts = read_concepts(tmp_path / "pieces")
    for path in paths[:-1]:
        decode(path, tmp_path / "decoded", concepts)
    photographs = load(tmp_path / "decoded", "train", "cpu")
    assert len(photographs) == 30
    assert photographs.pixels.shape == (30, 3, 64, 64)
    assert photographs.classes.tolist() == [index % 3 for index in range(30)]
    assert torch.allclose(photographs.boxes[0], torch.tensor([-1.0, -0.5, 0.0, 0.5]))
    with pytest.raises(WeightsError, match="test"):
        load(tmp_path / "decoded", "test", "cpu")


def test_a_damaged_piece_is_named(folder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "train-0.parquet"
    damaged.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(WeightsError, match=r"train-0\.parquet"):
        decode(damaged, tmp_path, read_concepts(folder))


def test_words_true_of_a_class(folder: Path) -> None:
    concepts = read_concepts(folder)
    true = {concepts.words[index] for index in concepts.of_class[0].nonzero()[0]}
    assert true == {"tabby cat", "cat"}
    banana = concepts.words.index("banana")
    assert concepts.of_class[1, banana]
    assert concepts.of_sprite[:, banana].sum() == 1
    assert len(set(concepts.words)) == len(concepts.words)


def flat(values: list[int]) -> Photographs:
    """Photographs of one brightness each, boxed on their left half."""
    pixels = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 64, 64)
    boxes = torch.tensor([[-1.0, -1.0, 0.0, 1.0]]).expand(len(values), 4)
    return Photographs(pixels=pixels, classes=torch.arange(len(values)), boxes=boxes)


def test_tiles_are_exact() -> None:
    canvas = Canvas(1, 32, "cpu")
    canvas.photographs(layouts.quarters(1), torch.arange(4)[None], flat([10, 20, 30, 40]))
    for piece, (row, column) in enumerate(((0, 0), (0, 16), (16, 0), (16, 16))):
        window = (0, slice(row, row + 16), slice(column, column + 16))
        assert (canvas.owner[window] == piece).all()
        assert torch.allclose(canvas.pixels[0, 0][window[1:]], torch.tensor(10.0 * (piece + 1)))


def test_owners_tell_what_is_seen() -> None:
    rng = np.random.default_rng(2)
    layout = layouts.collages(rng, 40)
    chosen = torch.arange(4)[None].expand(40, -1)
    canvas = Canvas(40, 32, "cpu")
    canvas.photographs(layout, chosen, flat([10, 20, 30, 40]))
    assert (canvas.owner >= 0).all()
    assert torch.equal(canvas.pixels[:, 0].round().long(), (canvas.owner + 1) * 10)
    top = layouts.sprites(rng, 40, 1.0)
    canvas.sprites(top, torch.randint(0, 100, (40, 2)), 4)
    assert (canvas.owner == 4).flatten(1).any(1).all()


def test_a_window_covers_its_patches() -> None:
    layout, kept = layouts.windows(np.random.default_rng(1), 20, 4)
    canvas = Canvas(20, 32, "cpu")
    canvas.photographs(layout, torch.zeros(20, 1, dtype=torch.long), flat([99]))
    by_patch = (canvas.owner == 0).view(20, 4, 8, 4, 8).transpose(2, 3).reshape(20, 16, 64)
    for row in range(20):
        assert by_patch[row].all(1).nonzero().flatten().tolist() == sorted(kept[row].tolist())
        assert by_patch[row].sum() == 4 * 64


def test_box_area_against_pairs() -> None:
    scores = torch.rand(3, 6, 6)
    inside = boxed(torch.tensor([[-1.0, -1.0, 0.0, 0.0]] * 3), 6)
    assert inside.sum().item() == 3 * 9
    pairs = [
        (scores[i][inside[i]][:, None] > scores[i][~inside[i]][None]).float().mean()
        for i in range(3)
    ]
    assert torch.allclose(pixel_auc(scores, inside), torch.stack(pairs), atol=1e-5)
    assert len(pixel_auc(scores, torch.ones_like(inside))) == 0


@pytest.mark.slow
def test_it_trains_in_calls_and_measures(folder: Path, tmp_path: Path) -> None:
    concepts = read_concepts(folder)
    for file in folder.glob("*.parquet"):
        decode(file, tmp_path / "decoded", concepts)
    config, task = photographs_task(TINY, folder, tmp_path / "decoded")
    first = train(config, tmp_path / "run", task, call_minutes=0.0)
    assert first.samples == 0
    assert (tmp_path / "run" / checkpoint.FILE).exists()
    last = train(config, tmp_path / "run", task)
    assert last.samples == 64
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    figures = json.loads(lines[-1])
    for key in ("top-1", "surgery collage pointing", "centre box AUC", "surgery mSC"):
        assert 0 <= abs(figures[key]) <= 1
    assert dataclasses.asdict(config)["nouns"] == concepts.words
