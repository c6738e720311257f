"""Every damaged input gives a result or a `ClipSurgeryError`, and prints nothing.

The seed is fixed. `make fuzz` repeats the tests with ten times as many inputs of another seed; the
environment variables CLIP_SURGERY_FUZZ_TIMES and CLIP_SURGERY_FUZZ_SEED set both.
"""

import json
import os
import random
import warnings

import pytest
import torch
from PIL import Image

from clip_surgery.errors import ClipSurgeryError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.inputs.images import read_image
from clip_surgery.inputs.names import printable
from clip_surgery.inputs.texts import check_texts, read_labels
from clip_surgery.loading import load
from clip_surgery.tasks.heatmaps import heatmaps
from tests.fuzz.damage import damaged, small_images, strange_text
from tests.fuzz.model_folders import FILES

TIMES = int(os.environ.get("CLIP_SURGERY_FUZZ_TIMES", "1"))
SEED = int(os.environ.get("CLIP_SURGERY_FUZZ_SEED", "2026"))


def outcome(action):
    """The result of an action, or None for an error of this library; other errors pass."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            return action()
        except ClipSurgeryError as error:
            message = str(error)
    assert message
    assert "\n" not in message, repr(message)
    assert len(message) < 2_000
    return None


def test_2000_damaged_images(capfd):
    chance = random.Random(SEED)
    contents = small_images()
    results = 0
    for number in range(2_000 * TIMES):
        content = damaged(chance.choice(contents), chance)
        image = outcome(lambda content=content, n=number: read_image(content, name=f"image {n}"))
        if image is not None:
            results += 1
            assert image.image.mode == "RGB"
            assert min(image.size) >= 1
    assert 0 < results < 2_000 * TIMES
    assert capfd.readouterr() == ("", "")


def test_1000_strange_texts(capfd):
    chance = random.Random(SEED + 1)
    explainer = load("demo", templates="name", cache=False)
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    accepted = []
    for _ in range(1_000 * TIMES):
        text = strange_text(chance)
        printable(text).encode("utf-8")
        texts = outcome(lambda text=text: check_texts([text]))
        if texts:
            accepted.append(texts[0])
    chosen = list(dict.fromkeys(accepted))[: 64 * TIMES]
    for text in chosen:
        features = outcome(lambda text=text: explainer.encode([text]))
        if features is not None:
            evidence = explainer.explain_pixels(pixels, features)
            assert bool(evidence.patches.isfinite().all())
    assert len(chosen) > 20
    assert capfd.readouterr() == ("", "")


def explanation_file(path):
    Explanation(
        patch_scores=(torch.rand(2, 3, 4),),
        similarity=(torch.rand(2, 3, 4),),
        image_scores=torch.rand(1, 2),
        texts=("dog", "cat"),
        framings=(Framing.squash(Size(30, 40), frame=Size(48, 64)),),
        images=("a.png",),
        method="Similarity()",
        backbone="demo",
    ).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["explanation", "labels"])
def test_100_damaged_files_of_each_kind(kind, tmp_path, capfd):
    chance = random.Random(f"{SEED} {kind}")
    path = tmp_path / "file"
    if kind == "explanation":
        whole, read = explanation_file(path), Explanation.load
    else:
        whole, read = "dog\ncat\nStraße\n# a remark\n".encode(), read_labels
    for _ in range(100 * TIMES):
        path.write_bytes(damaged(whole, chance))
        outcome(lambda: read(path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize(("model_format", "name"), FILES, ids=str)
def test_20_damaged_model_files_of_each_kind(model_format, name, tmp_path, capfd):
    """A damaged configuration or checkpoint is refused, or gives a model with finite results."""
    chance = random.Random(f"{SEED} {model_format} {name}")
    FILES[model_format, name](tmp_path)
    whole = (tmp_path / name).read_bytes()
    image = Image.effect_noise((32, 32), 60)
    for _ in range(20 * TIMES):
        (tmp_path / name).write_bytes(damaged(whole, chance))
        explainer = outcome(lambda: load(str(tmp_path), templates="name", cache=False))
        if explainer is not None:
            maps = outcome(lambda explainer=explainer: heatmaps(explainer(image, ["cat", "tree"])))
            assert maps is None or bool(maps[0].isfinite().all())
    assert capfd.readouterr() == ("", "")


def test_deeply_nested_json_in_an_explanation(tmp_path):
    path = tmp_path / "deep.safetensors"
    content = explanation_file(path)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["facts"] = "[" * 100_000
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + content[8 + length :])
    with pytest.raises(ClipSurgeryError, match="damaged"):
        Explanation.load(path)
