import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.cli.shared import image_loop as explaining
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.figures.sheet import Sheet


def files(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_one_image_two_texts(cli, scene):
    done = cli("explain", scene, "dog", "train")
    assert done.code == 0, done.err
    assert done.err == ""
    assert files() == ["scene.explain.dog.png", "scene.explain.png", "scene.explain.train.png"]
    assert "wrote 3 files to out/" in done.out
    assert "dog" in done.out
    with Image.open("out/scene.explain.png") as drawn:
        assert drawn.width > drawn.height > 200


def test_all_formats(cli, scene):
    done = cli("explain", scene, "dog", "train", "--format", "json,safetensors", "-f", "png")
    assert done.code == 0, done.err
    assert files() == ["scene.explain.json", "scene.explain.png", "scene.explain.safetensors"]
    record = json.loads(Path("out/scene.explain.json").read_text())
    assert record["image"] == str(scene)
    assert [text["text"] for text in record["texts"]] == ["dog", "train"]
    explanation = Explanation.load("out/scene.explain.safetensors")
    assert explanation.texts == ("dog", "train")
    assert explanation.images == (str(scene),)
    assert record["texts"][0]["score"] == pytest.approx(
        float(explanation.image_scores[0, 0]), abs=1e-5
    )


@pytest.mark.slow
def test_every_format_of_the_readme_in_one_call(cli, scene):
    kinds = ["png", "overlays", "pdf", "svg", "html", "json", "jsonl", "npz", "safetensors"]
    done = cli("explain", scene, "dog", "--format", ",".join(kinds))
    assert done.code == 0, done.err
    of_image = [
        f"scene.explain.{kind}" for kind in kinds if kind not in ("overlays", "html", "jsonl")
    ]
    assert files() == sorted([*of_image, "scene.explain.dog.png", "explain.html", "explain.jsonl"])
    assert Path("out/scene.explain.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in Path("out/scene.explain.svg").read_bytes()
    [line] = Path("out/explain.jsonl").read_text().splitlines()
    assert json.loads(line) == json.loads(Path("out/scene.explain.json").read_text())


def test_an_overlay_has_the_size_of_the_image_and_shows_where_the_text_is(cli, scene):
    assert cli("explain", scene, "dog", "pizza", "-f", "overlays").code == 0
    image = pixels(scene)
    changes = {}
    for text in ("dog", "pizza"):
        drawn = pixels(f"out/scene.explain.{text}.png")
        assert drawn.shape == image.shape
        changes[text] = np.abs(drawn - image).max(axis=2)
    assert changes["pizza"].max() <= 1  # what is absent looks absent
    y, x = np.unravel_index(changes["dog"].argmax(), changes["dog"].shape)
    assert 120 < x < 195
    assert 55 < y < 140


@pytest.mark.parametrize("contrast", ["text", "image"])
def test_overlays_of_other_contrasts(cli, scene, contrast):
    done = cli("explain", scene, "dog", "pizza", "-f", "overlays", "--contrast", contrast)
    assert done.code == 0, done.err
    assert len(files()) == 2


@pytest.mark.slow
def test_a_plain_sheet_of_a_width_for_print(cli, scene):
    assert cli("explain", scene, "dog", "-f", "png", "--width", "600px", "--out", "a").code == 0
    done = cli("explain", scene, "dog", "-f", "png", "--width", "600px", "--plain", "--out", "b")
    assert done.code == 0, done.err
    headed, plain = (pixels(f"{folder}/scene.explain.png") for folder in "ab")
    assert headed.shape[1] == plain.shape[1] == 600
    assert plain.shape[0] < headed.shape[0]
    assert cli("explain", scene, "dog", "-f", "png", "--out", "c").code == 0
    assert cli("explain", scene, "dog", "-f", "png", "--plain", "--out", "d").code == 0
    assert len(pixels("d/scene.explain.png")) < len(pixels("c/scene.explain.png"))


def test_the_heading_has_short_names(cli, scene, monkeypatch):
    from clip_surgery.figures import maps as module

    headings = []

    def keep(*arguments, heading, **options):
        headings.append(heading)
        return Sheet(4, 4)

    monkeypatch.setattr(module, "figure", keep)
    assert cli("explain", scene, "dog", "-f", "png", "--depth", 3).code == 0
    assert headings == ["scene.png · clip_surgery(depth=3) · demo"]


def test_texts_of_any_letters_become_file_names(cli, scene):
    texts = ["../dog", "dog?", "DOG", "größe 猫", "///", "a" * 300]
    options = [word for text in texts for word in ("--text", text)]
    done = cli("explain", scene, *options, "-f", "overlays", "--templates", "name", "--truncate")
    assert done.code == 0, done.err
    assert files() == sorted(
        f"scene.explain.{part}.png"
        for part in ("dog", "dog-2", "DOG-3", "größe-猫", "text", "a" * 40)
    )


def test_options_reach_the_explanation(cli, scene):
    done = cli(
        *["explain", scene, "dog", "--method", "clip_surgery(redundancy=none)", "--depth", 3],
        *["--size", 64, "--framing", "letterbox", "--templates", "a {}."],
        *["--batch-size", 1, "--device", "cpu", "--dtype", "bfloat16", "--no-cache"],
        *["--contrast", "image", "--opacity", 0.4, "--colour-map", "viridis", "--out", "a/b"],
        *["--format", "safetensors", "--truncate"],
    )
    assert done.code == 0, done.err
    explanation = Explanation.load("a/b/scene.explain.safetensors")
    assert "depth=3" in explanation.method
    assert "redundancy='none'" in explanation.method
    assert explanation.framings[0].frame == (64, 64)
    assert not Path(".cache").exists()


def test_texts_from_options_and_files(cli, scene, home):
    (home / "words.txt").write_text("# what to look for\nkey\n\nhouse\n", encoding="utf-8")
    done = cli("explain", scene, "dog", "--text", "out/in", "--labels", "words.txt", "-f", "json")
    assert done.code == 0, done.err
    texts = json.loads(Path("out/scene.explain.json").read_text())["texts"]
    assert [text["text"] for text in texts] == ["dog", "out/in", "key", "house"]


def test_same_names_from_different_folders_are_all_kept(cli, scene, home):
    image = Image.open(scene)
    for name in ("a/scene.png", "b/scene.jpg", "b/SCENE.bmp"):
        (home / name).parent.mkdir(exist_ok=True)
        image.save(home / name)
    done = cli("explain", "a", "b", scene, "dog", "-f", "json,png")
    assert done.code == 0, done.err
    assert len(files()) == 8
    assert len({name.lower() for name in files()}) == 8
    read = {json.loads(path.read_text())["image"] for path in Path("out").glob("*.json")}
    assert read == {"a/scene.png", "b/scene.jpg", "b/SCENE.bmp", str(scene)}


def test_results_never_replace_an_input_image(cli, scene, home):
    before = scene.read_bytes()
    assert cli("explain", "scene.png", "dog", "--out", ".").code == 0
    assert scene.read_bytes() == before
    assert (home / "scene.explain.png").is_file()


def test_results_of_an_earlier_run_are_replaced(cli, scene):
    assert "replaced" not in cli("explain", scene, "dog", "-f", "png").err
    again = cli("explain", scene, "dog", "-f", "png")
    assert again.code == 0
    assert "replaced 1 files of an earlier run" in again.err
    assert files() == ["scene.explain.png"]


def test_bad_images_are_reported_and_skipped(cli, scene, home):
    (home / "bad.jpg").write_bytes(b"not an image")
    (home / "cut.png").write_bytes(scene.read_bytes()[:500])
    done = cli("explain", "bad.jpg", "cut.png", scene, "missing.jpg", "dog", "train", "-f", "png")
    assert done.code == 1
    assert files() == ["scene.explain.png"]
    lines = done.err.strip().splitlines()
    assert len(lines) == 3
    assert all(line.startswith("error: ") for line in lines)
    assert "skipped 3" in done.out


def test_no_image_can_be_explained(cli, home):
    (home / "bad.jpg").write_bytes(b"not an image")
    done = cli("explain", "bad.jpg", "dog")
    assert done.code == 2
    assert done.err == "error: bad.jpg: not an image in a format that Pillow reads.\n"


def test_work_done_is_kept_when_a_later_image_fails(cli, scene, home, monkeypatch):
    for index in range(3):
        Image.open(scene).save(home / f"{index}.png")
    explain_images = Explainer.explain_images

    def fail_on_the_last(self, pictures, texts):
        if any(picture.name == "2.png" for picture in pictures):
            raise RuntimeError("the machine burns")
        return explain_images(self, pictures, texts)

    monkeypatch.setattr(Explainer, "explain_images", fail_on_the_last)
    done = cli("explain", "0.png", "1.png", "2.png", "dog", "--batch-size", 1, "-f", "png")
    assert done.code == 3
    assert files() == ["0.explain.png", "1.explain.png"]
    assert done.err == ("error: unexpected RuntimeError: the machine burns (--debug shows where)\n")


def test_one_bad_image_does_not_cost_its_batch(cli, scene, home, monkeypatch):
    for index in range(3):
        Image.open(scene).save(home / f"{index}.png")
    explain_images = Explainer.explain_images

    def refuse_one(self, pictures, texts):
        if any(picture.name == "1.png" for picture in pictures):
            raise InputError("1.png: refused.")
        return explain_images(self, pictures, texts)

    monkeypatch.setattr(Explainer, "explain_images", refuse_one)
    done = cli("explain", "0.png", "1.png", "2.png", "dog", "-f", "png")
    assert done.code == 1
    assert done.err == "error: 1.png: refused.\n"
    assert files() == ["0.explain.png", "2.explain.png"]


def test_out_of_memory_is_reported_with_advice(cli, scene, home, monkeypatch):
    def too_large(self, pictures, texts):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(explaining.Explainer, "explain_images", too_large)
    done = cli("explain", scene, "dog")
    assert done.code == 2
    assert "out of memory; try a smaller --size" in done.err


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_images_that_do_not_fit_together_are_explained_in_parts(
    cli, scene, home, monkeypatch, error
):
    for index in range(4):
        Image.open(scene).save(home / f"{index}.png")
    sizes, explain_images = [], Explainer.explain_images

    def at_most_two(self, pictures, texts):
        sizes.append(len(pictures))
        if len(pictures) > 2:
            raise error
        return explain_images(self, pictures, texts)

    monkeypatch.setattr(Explainer, "explain_images", at_most_two)
    done = cli("explain", "0.png", "1.png", "2.png", "3.png", "dog", "-f", "json")
    assert done.code == 0, done.err
    assert sizes == [4, 2, 2]
    assert files() == [f"{index}.explain.json" for index in range(4)]


def test_words_the_demo_model_does_not_know(cli, scene):
    done = cli("explain", scene, "dog", "two brown dogs", "harpsichord")
    assert done.code == 0
    assert done.err.startswith("note: this small model knows ")
    assert "not harpsichord:" in done.err
    assert "--model open_clip:ViT-B-16/openai" in done.err
    assert done.err.count("\n") == 1


def test_many_rows_are_cut_in_the_table_only(cli, scene, home):
    (home / "words.txt").write_text("\n".join(f"dog {i}" for i in range(50)))
    done = cli("explain", scene, "--labels", "words.txt", "--templates", "name", "-f", "json")
    assert done.code == 0, done.err
    assert "and 10 more" in done.out
    assert len(json.loads(Path("out/scene.explain.json").read_text())["texts"]) == 50


BAD = {
    "no image": (["dog", "train"], "No image among the arguments"),
    "no text": (["scene.png"], "No text to look for"),
    "missing image": (["scen.png", "dog"], "scen.png: no such file."),
    "link": (["https://x.org/a.jpg", "dog"], "download it first"),
    "twice the same text": (["scene.png", "dog", "dog"], "Expected each text once"),
    "empty text": (["scene.png", ""], "Expected a text with words"),
    "missing labels": (["scene.png", "--labels", "no.txt"], "no.txt: expected a file of labels"),
    "unknown model": (["scene.png", "dog", "--model", "dem"], "Unknown model 'dem'"),
    "unknown method": (["scene.png", "dog", "--method", "gemm"], "Unknown method 'gemm'"),
    "unknown format": (["scene.png", "dog", "--format", "gif"], "Unknown format 'gif'"),
    "empty format": (["scene.png", "dog", "--format", ""], "Unknown format ''"),
    "depth of similarity": (
        ["scene.png", "dog", "--method", "similarity", "--depth", "3"],
        "--depth is no setting of similarity",
    ),
    "unknown colours": (["scene.png", "dog", "--colour-map", "x"], "Unknown colour map 'x'"),
    "width": (["scene.png", "dog", "--width", "wide"], "Expected a width such as 85mm or 1200px"),
    "opacity": (["scene.png", "dog", "--opacity", "2"], "Invalid value for '--opacity'"),
    "size": (["scene.png", "dog", "--size", "0"], "Invalid value for '--size'"),
    "contrast": (["scene.png", "dog", "--contrast", "none"], "Invalid value for '--contrast'"),
    "device": (["scene.png", "dog", "--device", "abacus"], "abacus"),
    "templates": (["scene.png", "dog", "--templates", "nice"], "Unknown template set 'nice'"),
    "out is a file": (["scene.png", "dog", "--out", "scene.png"], "cannot be the folder"),
    "option without value": (["scene.png", "dog", "--out"], "requires an argument"),
    "unknown option": (["scene.png", "dog", "--color"], "No such option"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_wrong_usage_is_one_line_and_exit_code_two(cli, scene, arguments, reason):
    done = cli("explain", *arguments)
    assert done.code == 2, done
    assert reason in done.err
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not Path("out").exists() or files() == []


def test_several_images(cli):
    pictures = [Path(f"{number}.jpg") for number in range(3)]
    for number, path in enumerate(pictures):
        noise = Image.effect_noise((160 + 40 * number, 120), 60)
        noise.convert("RGB").save(path)
    done = cli("explain", *pictures, "dog", "car", "train", "--format", "png,json", "--out", "maps")
    assert done.code == 0, done.err
    assert len(files("maps")) == 6
    assert len(done.out.strip().splitlines()) == 1 + 9 + 1


def test_a_large_photograph_is_drawn_small_and_its_record_is_in_its_own_pixels(cli, home):
    Image.effect_noise((3000, 2000), 50).convert("RGB").save(home / "large.jpg")
    done = cli("explain", "large.jpg", "dog", "car", "--format", "png,json,safetensors")
    assert done.code == 0, done.err
    record = json.loads(Path("out/large.explain.json").read_text())
    assert record["size"] == {"height": 2000, "width": 3000}
    assert Explanation.load("out/large.explain.safetensors").framings[0].original == (2000, 3000)
    with Image.open("out/large.explain.png") as drawn:
        assert drawn.width < 1600


@pytest.mark.slow
def test_presence_that_draws_nothing_says_why(cli, scene, monkeypatch):
    from clip_surgery.tasks import heatmaps as module

    whole = module.heatmaps
    monkeypatch.setattr(module, "heatmaps", lambda *a, **k: [0 * m for m in whole(*a, **k)])
    done = cli("explain", scene, "dog", "cat", "--contrast", "presence")
    assert done.code == 0, done.err
    assert "no map is drawn" in done.err
