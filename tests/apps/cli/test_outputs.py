"""Which files a command writes, which it replaces, and results on standard output."""

import json
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open

from clip_surgery.apps.cli.shared.source_records import recorded_source, source_id
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.export import bundle

JSON_COMMANDS = {
    "explain": ["dog", "cat"],
    "compare": ["dog", "--methods", "similarity"],
    "points": ["dog", "cat"],
    "segment": ["dog", "cat"],
    "tag": ["dog", "cat"],
    "words": ["a photo of a dog"],
    "inspect": ["dog"],
}


@pytest.fixture
def streets(home):
    """Two images of the same name in different folders."""
    for folder, colour in (("a", (200, 30, 30)), ("b", (30, 30, 200))):
        (home / folder).mkdir()
        Image.new("RGB", (40, 30), colour).save(home / folder / "street.png")
    return home


def contents(folder="out"):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_a_second_image_of_the_same_name_never_replaces_the_first_result(cli, streets):
    formats = ["--format", "png,json,safetensors"]
    assert cli("explain", "a/street.png", "dog", *formats).code == 0
    before = contents()
    done = cli("explain", "b/street.png", "dog", *formats, "--quiet")
    assert done.code == 0, done.err
    after = contents()
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == [
        "street.explain-2.json", "street.explain-2.png", "street.explain-2.safetensors"
    ]  # fmt: skip
    assert json.loads(after["street.explain-2.json"])["image"] == "b/street.png"
    assert Explanation.load("out/street.explain-2.safetensors").images == ("b/street.png",)


@pytest.mark.slow
def test_the_same_call_again_replaces_its_own_results_only(cli, streets):
    for _ in range(2):
        assert cli("explain", "a/street.png", "dog", "-f", "png").code == 0
        done = cli("explain", "b/street.png", "dog", "-f", "png")
    assert sorted(contents()) == ["street.explain-2.png", "street.explain.png"]
    assert "replaced 1 files" in done.err
    assert "street.explain-2.png has a number" in done.err
    assert "--overwrite" in done.err


def test_overwrite_replaces_the_result_for_another_image(cli, streets):
    assert cli("tag", "a/street.png", "dog", "cat", "-f", "json").code == 0
    assert cli("tag", "b/street.png", "dog", "cat", "-f", "json", "--overwrite").code == 0
    assert list(contents()) == ["street.tag.json"]
    assert json.loads(Path("out/street.tag.json").read_text())["image"] == "b/street.png"


def test_two_images_of_the_same_name_in_one_run_get_two_results(cli, streets):
    done = cli("points", "a/street.png", "b/street.png", "dog", "-f", "json", "--overwrite")
    assert done.code == 0
    images = {json.loads(content)["image"] for content in contents().values()}
    assert images == {"a/street.png", "b/street.png"}


def test_files_of_one_name_belong_to_one_image_in_all_formats(cli, streets):
    assert cli("explain", "a/street.png", "dog", "-f", "json").code == 0
    assert cli("explain", "b/street.png", "dog", "-f", "png").code == 0
    assert sorted(contents()) == ["street.explain-2.png", "street.explain.json"]


def test_a_file_of_the_user_is_not_replaced(cli, streets):
    Path("out").mkdir()
    for name, content in (("street.explain.png", b"mine"), ("street.explain.json", b"{}")):
        Path("out", name).write_bytes(content)
    assert cli("explain", "a/street.png", "dog", "-f", "png,json").code == 0
    assert contents()["street.explain.png"] == b"mine"
    assert contents()["street.explain.json"] == b"{}"
    assert "street.explain-2.png" in contents()


def test_every_format_records_the_source(cli, streets):
    cli("explain", "a/street.png", "dog", "-f", "png,overlays,pdf,svg,json,npz,safetensors")
    cli("segment", "a/street.png", "dog", "-f", "mask")
    for path in Path("out").iterdir():
        assert recorded_source(path) == source_id("a/street.png"), path
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
    with safe_open("out/street.explain.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "clip-surgery explanation 1"


def test_overlays_of_another_image_are_not_replaced(cli, streets):
    assert cli("explain", "a/street.png", "dog", "-f", "overlays").code == 0
    before = contents()
    assert cli("explain", "b/street.png", "dog", "-f", "overlays").code == 0
    after = contents()
    assert sorted(after) == ["street.explain-2.dog.png", "street.explain.dog.png"]
    assert after["street.explain.dog.png"] == before["street.explain.dog.png"]


def test_files_of_a_run_are_replaced_by_a_run_of_the_same_images_only(cli, streets):
    arguments = ["dog", "--format", "html,jsonl"]
    for _ in range(2):
        assert cli("explain", "a/street.png", "b/street.png", *arguments).code == 0
    assert sorted(contents()) == ["explain.html", "explain.jsonl"]
    lines = Path("out/explain.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["a/street.png", "b/street.png"]
    assert cli("explain", "a/street.png", *arguments).code == 0
    assert sorted(contents()) == [
        "explain-2.html", "explain-2.jsonl", "explain.html", "explain.jsonl"
    ]  # fmt: skip


def test_results_of_a_run_are_kept_when_a_later_image_stops_it(cli, streets, monkeypatch):
    explain_images = Explainer.explain_images

    def stop_at_the_second(self, images, features):
        if images[0].name == "b/street.png":
            raise RuntimeError("stopped")
        return explain_images(self, images, features)

    monkeypatch.setattr(Explainer, "explain_images", stop_at_the_second)
    arguments = ["dog", "--batch-size", 1, "--format", "html,jsonl"]
    assert cli("explain", "a/street.png", "b/street.png", *arguments).code == 3
    [line] = Path("out/explain.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "a/street.png"
    assert Path("out/explain.html").read_text().count("<article") == 1


@pytest.mark.slow
def test_demo_does_not_replace_a_file_of_the_user(cli, home):
    (home / "scene.png").write_bytes(b"mine")
    done = cli("demo", "--out", ".", "--quiet")
    assert done.code == 2
    assert done.err == (
        "error: scene.png: there is a file of this name already that demo did not write; "
        "choose another --out, or replace it with --overwrite.\n"
    )
    assert (home / "scene.png").read_bytes() == b"mine"
    assert cli("demo", "--out", ".", "--overwrite").code == 0
    assert cli("demo", "--out", ".").code == 0


def test_export_does_not_replace_another_bundle(cli, home, monkeypatch):
    def export_bundle(explainer, folder, *, to, texts, **options):
        facts = {"model": explainer.backbone.name, "method": repr(explainer.method)}
        Path(folder, "bundle.json").write_text(json.dumps(facts))
        return bundle.Bundle(folder=folder, files=("bundle.json",), difference=0.0)

    monkeypatch.setattr(bundle, "export_bundle", export_bundle)
    (home / "made").mkdir()
    arguments = ["export", "--to", "torch", "--out", "made"]
    for _ in range(2):
        assert cli(*arguments).code == 0
    before = contents("made")
    done = cli(*arguments, "--depth", 3, "--quiet")
    assert done.code == 2
    assert "made/bundle.json: holds another export" in done.err
    assert "--overwrite" in done.err
    assert contents("made") == before
    (home / "made/bundle.json").write_text("damaged")
    assert cli(*arguments).code == 2
    assert cli(*arguments, "--overwrite").code == 0


@pytest.mark.slow
def test_evaluate_does_not_replace_another_report(cli, home):
    arguments = ["evaluate", "scenes", "--count", 1, "--method", "similarity", "--out", "r.json"]
    assert cli(*arguments).code == 0
    assert cli(*arguments).code == 0
    before = Path("r.json").read_bytes()
    done = cli(*arguments, "--size", 64, "--quiet")
    assert done.code == 2
    assert "r.json: holds reports of another evaluation" in done.err
    assert "--overwrite" in done.err
    assert Path("r.json").read_bytes() == before
    assert cli(*arguments, "--size", 64, "--overwrite").code == 0


@pytest.mark.parametrize("command", JSON_COMMANDS)
def test_json_lines_on_standard_output(cli, streets, command):
    (streets / "bad.jpg").write_bytes(b"not an image")
    images = ["a/street.png", "bad.jpg", "b/street.png"]
    done = cli(command, *images, *JSON_COMMANDS[command], "--format", "json", "--out", "-")
    assert done.code == 1
    records = [json.loads(line) for line in done.out.splitlines()]
    assert len(records) == 2
    if command != "compare":
        assert [record["image"] for record in records] == ["a/street.png", "b/street.png"]
    assert "bad.jpg: not an image" in done.err
    assert not Path("out").exists()
    assert not Path("-").exists()


def test_json_lines_are_the_default_of_standard_output_and_its_only_format(cli, streets):
    done = cli("explain", "a/street.png", "dog\x7f\x9b", "--out", "-")
    assert [text["text"] for text in json.loads(done.out)["texts"]] == ["dog\x7f\x9b"]
    assert "\x7f" not in done.out
    done = cli("explain", "a/street.png", "dog", "--out", "-", "--format", "png,json")
    assert done.code == 2
    assert done.err == "error: Expected --format json with --out -, but got png.\n"
