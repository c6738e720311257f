import json
from pathlib import Path

import pytest
from PIL import Image
from timm.models import save_for_hf

from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.figures.sheet import Sheet
from clip_surgery.methods.registry import METHODS
from clip_surgery.methods.rollout import Rollout
from clip_surgery.methods.similarity import Similarity
from clip_surgery.tasks import presence as presence_module
from clip_surgery.tasks.presence import PresenceRule
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.testing.tiny_models.segmenters import TINY_SEGMENTER


def refuse(self, *_):
    raise UnsupportedModelError(
        "rollout needs a token. Methods that work with demo: similarity.",
        problem="rollout needs a token.",
    )


def test_one_row_per_method_and_one_column_per_text(cli, scene):
    done = cli("compare", scene, "dog", "train", "--methods", "similarity,clip_surgery(depth=3)")
    assert done.code == 0, done.err
    assert done.err == ""
    head, *rows, wrote = done.out.splitlines()
    assert head.split()[:3] == ["image", "method", "text"]
    assert [row.split()[1:3] for row in rows] == [
        ["similarity", "dog"],
        ["similarity", "train"],
        ["clip_surgery(depth=3)", "dog"],
        ["clip_surgery(depth=3)", "train"],
    ]
    assert wrote == "wrote out/scene.compare.png"


def test_an_absent_text_leaves_the_image_as_it_is_in_every_row(cli, scene, monkeypatch):
    """The README picture is understood without a caption: an absent object looks absent."""
    from clip_surgery.figures import comparison as module

    rows, notes = {}, []

    def keep(image, maps, titles, *, column_notes, **options):
        rows.update(maps)
        notes.extend(column_notes)
        return Sheet(4, 4)

    monkeypatch.setattr(module, "comparison", keep)
    done = cli("compare", scene, "dog", "pizza", "--methods", "similarity,gem,clip_surgery")
    assert done.code == 0, done.err
    for dog, pizza in rows.values():
        assert float(dog.max()) > 0.9
        assert float(pizza.max()) < 0.05
    dog, pizza = (int(note.removeprefix("presence ").removesuffix("%")) for note in notes)
    assert dog > 50
    assert pizza < 5


@pytest.fixture
def dino(tmp_path):
    """A folder with a tiny companion."""
    sizes = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2}
    folder = str(tmp_path / "dino")
    save_for_hf(tiny_companion("dino"), folder, model_args=sizes, safe_serialization=True)
    return folder


def test_the_segmenter_is_given_to_methods_that_need_one(cli, scene, dino):
    methods = f"trident,trident(segmenter={TINY_SEGMENTER}),maskclip"
    asked = ["compare", scene, "dog", "--methods", methods, "-f", "json", "--templates", "name"]
    done = cli(*asked, "--companion", dino, "--segmenter", TINY_SEGMENTER)
    assert done.code == 0, done.err
    found = json.loads(Path("out/scene.compare.json").read_text())["methods"]
    assert list(found) == methods.split(",")
    first, second, _ = found.values()
    assert first == second
    assert f"segmenter='{TINY_SEGMENTER}'" in first["method"]
    refused = cli(*asked, "--companion", dino, "--segmenter", " ")
    assert refused.code == 2
    assert "Expected segmenter to be a name" in refused.err


@pytest.mark.slow
def test_every_method(cli, scene, dino):
    asked = ["compare", scene, "dog", "--methods", "all", "-f", "json,png", "--templates", "name"]
    done = cli(*asked, "--companion", dino)
    assert done.code == 0, done.err
    found = json.loads(Path("out/scene.compare.json").read_text())
    with_segmenter = ["corr_clip", "trident"]
    assert list(found["methods"]) == [name for name in METHODS if name not in with_segmenter]
    for name in with_segmenter:
        assert f"{name} is left out: it needs a segmenter" in done.err
    assert list(found["refused"]) == with_segmenter
    texts = found["methods"]["clip_surgery"]["texts"]
    assert [text["text"] for text in texts] == ["dog"]
    with Image.open("out/scene.compare.png") as drawn:
        assert drawn.width < 3 * drawn.height  # blocks, not one strip
        assert drawn.height < 3 * drawn.width


def test_a_method_that_cannot_serve_the_model_is_a_note(cli, scene, monkeypatch):
    asked = ["compare", scene, "dog", "--templates", "name", "-f", "json,png"]
    with monkeypatch.context() as patch:
        patch.setattr(Rollout, "__call__", refuse)
        done = cli(*asked, "--methods", "rollout,similarity")
    assert done.code == 0
    assert done.err == "note: rollout is left out: it needs a token.\n"
    found = json.loads(Path("out/scene.compare.json").read_text())
    assert found["refused"] == {"rollout": "needs a token."}
    assert list(found["methods"]) == ["similarity"]
    with Image.open("out/scene.compare.png") as noted:
        height = noted.height
    cli(*asked, "--methods", "similarity")
    with Image.open("out/scene.compare.png") as drawn:
        assert drawn.height < height


def test_a_missing_method_is_reported_once_for_many_images(cli, scene, home, monkeypatch):
    monkeypatch.setattr(Rollout, "__call__", refuse)
    for index in range(3):
        Image.open(scene).save(home / f"{index}.png")
    done = cli(
        *["compare", "0.png", "1.png", "2.png", "dog", "--methods", "similarity,rollout"],
        *["--batch-size", 1, "-f", "json"],
    )
    assert done.code == 0
    assert done.err.count("\n") == 1


def test_no_method_that_serves_the_model(cli, scene, monkeypatch):
    monkeypatch.setattr(Rollout, "__call__", refuse)
    done = cli("compare", scene, "dog", "--methods", "rollout")
    assert done.code == 2
    assert done.err.splitlines()[-1] == "error: None of these methods can serve demo: rollout."


def test_bad_images_are_skipped_whatever_the_method(cli, scene, home, monkeypatch):
    Image.open(scene).save(home / "1.png")
    inner = Similarity.__call__

    def only_one(self, backbone, pixels, texts):
        if len(pixels) > 1:
            raise InputError("too many at once")
        return inner(self, backbone, pixels, texts)

    monkeypatch.setattr(Similarity, "__call__", only_one)
    (home / "bad.jpg").write_bytes(b"no")
    done = cli("compare", "scene.png", "bad.jpg", "1.png", "dog", "--methods", "similarity")
    assert done.code == 1
    assert done.err == "error: bad.jpg: not an image in a format that Pillow reads.\n"
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "1.compare.png",
        "scene.compare.png",
    ]


BAD = {
    "unknown method": (["--methods", "similarity,gemm"], "Unknown method 'gemm'"),
    "setting": (["--methods", "gem(x=1)"], "Unknown setting of gem 'x'"),
    "format": (["--format", "safetensors"], "Unknown format 'safetensors'"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("compare", scene, "dog", *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "command", [["compare", "--methods", "similarity,gem"], ["explain"], ["points"]]
)
def test_presence_that_draws_nothing_names_the_texts_and_the_option(
    cli, scene, command, monkeypatch
):
    monkeypatch.setattr(presence_module, "PresenceRule", lambda: PresenceRule(offset=-20.0))
    name, *options = command
    done = cli(name, scene, "dog", "cat", *options, "--contrast", "presence")
    assert done.code == 0, done.err
    [line] = done.err.splitlines()
    assert "no map is drawn" in line
    assert "(presence: dog 0.000, cat 0.000)" in line
    assert "--contrast text" in line


def test_a_remark_says_that_the_settings_of_a_method_do_not_suit_the_model(cli, scene):
    arguments = ["compare", scene, "dog", "-f", "json", "--templates", "name", "--methods"]
    done = cli(*arguments, "similarity,gem")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    [remark] = [line for line in lines if line.startswith("gem: ")]
    assert "The attention temperature of gem in demo is" in remark
    assert "gem(sharpness=" in remark
    record = json.loads(Path("out/scene.compare.json").read_text())
    assert list(record["remarks"]) == ["gem"]
    assert "temperature" not in cli(*arguments, "similarity,gem(sharpness=8)").out
