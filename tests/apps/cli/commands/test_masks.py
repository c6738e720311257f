import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.records.mask_files import decode_rle
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.segmenters.segmenter import Candidates

pytest.importorskip("transformers", reason="SAM is read through transformers")

from tests.segmenters.test_sam import tiny_sam

SCENE = read_scene()
FIRST = SCENE.objects[0]


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    tiny_sam().save_pretrained(folder)
    return folder


@pytest.fixture
def same_colour(monkeypatch):
    """A segmenter of known answers: all pixels that are coloured like the first click."""

    def call(picture, prompts):
        pixels = np.asarray(picture.image).astype(int)
        found = []
        for prompt in prompts:
            x, y = prompt.xy[0].astype(int)
            near = torch.from_numpy(np.abs(pixels - pixels[y, x]).sum(-1) < 60)
            found.append(Candidates(masks=near[None], scores=torch.tensor([0.5])))
        return found

    monkeypatch.setattr(SamSegmenter, "load", classmethod(lambda cls, name, device: call))


def test_a_real_sam_from_a_folder(cli, scene, sam, home):
    (home / "bad.jpg").write_bytes(b"no")
    done = cli("masks", scene, "bad.jpg", "pig", "turtle+boat", "--segmenter", sam)
    assert done.code == 1
    # transformers may have drawn a bar before
    error = "error: bad.jpg: not an image in a format that Pillow reads.\n"
    assert done.err.endswith(error)
    found = json.loads(Path("out/scene.masks.json").read_text())
    assert [mask["text"] for mask in found["masks"]] == ["pig", "turtle+boat"]
    assert decode_rle(found["masks"][0]["segmentation"]).shape == (288, 288)
    with Image.open("out/scene.masks.mask.png") as mask:
        assert mask.size == (288, 288)


@pytest.mark.parametrize("prompt_kinds", [["box"], ["map"], ["points", "box", "map"]])
def test_other_prompt_kinds(cli, scene, sam, prompt_kinds):
    options = [part for prompt_kind in prompt_kinds for part in ("--prompt-kind", prompt_kind)]
    done = cli("masks", scene, "pig", "--segmenter", sam, *options)
    assert done.code == 0, done.err


def test_an_absent_object_has_no_mask(cli, scene, same_colour):
    done = cli("masks", scene, FIRST, SCENE.absent, "--min-presence", 0.5)
    assert done.code == 0, done.err
    found = json.loads(Path("out/scene.masks.json").read_text())
    [present] = found["masks"]
    assert found["absent"] == [SCENE.absent]
    with Image.open("out/scene.masks.mask.png") as image:
        assert (np.array(image) == decode_rle(present["segmentation"])).all()
    assert done.out.splitlines()[2].split()[1:] == [SCENE.absent, "none"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["pig", "--segmenter", "/no/such/folder"], "/no/such/folder"),
        (["pig", "--prompt-kind", "hint"], "Invalid value for '--prompt-kind'"),
        (["pig+"], "on both sides of every '+'"),
        (["pig", "--segmenter", "facebook/sam-vit-base"], "facebook/sam-vit-base"),  # offline
    ],
)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("masks", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1


class WholeImage:
    """A segmenter of another package: its only candidate is the whole image."""

    def __call__(self, image, prompts):
        mask = torch.ones(1, image.size.height, image.size.width, dtype=torch.bool)
        return [Candidates(masks=mask, scores=torch.tensor([0.5])) for _ in prompts]


def test_a_segmenter_of_another_package_by_module_and_class(cli, scene):
    done = cli("masks", scene, "pig", "--segmenter", f"{__name__}:WholeImage", "-f", "json")
    assert done.code == 0, done.err
    [mask] = json.loads(Path("out/scene.masks.json").read_text())["masks"]
    assert decode_rle(mask["segmentation"]).all()
    done = cli("masks", scene, "pig", "--segmenter", "no_such_name")
    assert done.code == 2
    assert "Unknown segmenter 'no_such_name'" in done.err
