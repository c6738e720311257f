"""Code and commands of the page reproduce what it shows."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from clip_surgery.apps.cli.main import app
from clip_surgery.apps.page.attention_heads import ShownHeads
from clip_surgery.apps.page.attention_views import PointAttention
from clip_surgery.apps.page.match_views import ShownMatch
from clip_surgery.apps.page.results import maps, segmentation
from clip_surgery.apps.page.sessions import Results
from clip_surgery.apps.page.settings import Settings
from clip_surgery.apps.page.tabs.all_tabs import TABS, tabs_of
from clip_surgery.apps.page.tabs.heads import Heads
from clip_surgery.apps.page.tabs.masks import ShownMasks
from clip_surgery.apps.page.tabs.methods import MethodMaps
from clip_surgery.apps.page.tabs.words import ReadSentence
from clip_surgery.errors import InputError
from tests.apps.page.visits import explain

SETTINGS = Settings(contrast="image", opacity=0.5, min_presence=0.2, background="threshold")


COMMANDS = {
    "maps": "explain",
    "points": "points",
    "tags": "tag",
    "words": "words",
    "match": "match",
    "attention": "inspect",
    "segments": "segment",
    "masks": "masks",
    "compare": "compare",
    "methods": "compare",
}


@pytest.fixture
def tabs(actions):
    return tabs_of(actions)


@pytest.fixture
def results(actions, scene, tmp_path, monkeypatch):
    """Results with something in every tab."""
    monkeypatch.chdir(tmp_path)
    scene.image.save("scene.png")
    image = actions.prepare_image(Path("scene.png"), "scene.png")
    texts = ["car", "pig's ear", "--dog"]
    session = actions.explain(image, texts, "demo", "gem")
    sentence = actions.sentence(image, "a pig", "demo", "gem")
    match = actions.match(image, "--a pig's ear", "--a dog", "demo")
    return Results(
        session=session,
        by_tab={
            "words": ReadSentence(sentence, image, "demo", "gem"),
            "match": ShownMatch(match=match, image=image, model="demo"),
            "attention": PointAttention(actions.attention(image, (60, 50), "demo"), image),
            "masks": ShownMasks(of_texts=actions.masks(session)),
            "compare": actions.explain(image, texts, "demo", "similarity"),
            "methods": MethodMaps(explanations={"gem": session.explanation}, refused={"x": "y"}),
            "heads": Heads.of(*actions.decompose(image, texts, "demo")),
        },
    )


def run(tabs, results, tab):
    namespace = {}
    exec("\n".join(tabs[tab].python(results, SETTINGS)), namespace)
    return namespace


def test_python_code_computes_the_same(tabs, results):
    session = results.session
    torch.testing.assert_close(
        run(tabs, results, "maps")["maps"], maps(session, "image", side=320), rtol=0, atol=1e-4
    )
    assert Path("car.png").exists()
    classes = run(tabs, results, "segments")["classes"]
    assert (classes == segmentation(session, "threshold")).double().mean() > 0.999
    assert len(run(tabs, results, "points")["boxes"]) == 3
    tags = run(tabs, results, "tags")["tags"]
    assert {tag.text for tag in tags} == set(session.explanation.texts)
    words = results.by_tab["words"].words
    torch.testing.assert_close(run(tabs, results, "words")["words"].scores, words.scores)
    weights = results.by_tab["attention"].maps[0].weights
    torch.testing.assert_close(run(tabs, results, "attention")["maps"][0].weights, weights)
    compile("\n".join(tabs["masks"].python(results, SETTINGS)), "masks", "exec")


def test_python_code_of_several_methods_and_of_heads(tabs, results):
    session = results.session
    expected = maps(session, "text", side=320)
    compared = run(tabs, results, "compare")
    torch.testing.assert_close(compared["maps"], expected, rtol=0, atol=1e-4)
    other = compared["other_explanation"].patch_scores[0]
    torch.testing.assert_close(
        other, results.by_tab["compare"].explanation.patch_scores[0], rtol=0, atol=1e-4
    )
    gem = run(tabs, results, "methods")["maps"]["gem"]
    torch.testing.assert_close(gem, expected, rtol=0, atol=1e-4)
    heads = run(tabs, results, "heads")["heads"]
    torch.testing.assert_close(heads, results.by_tab["heads"].scores.heads)


def test_python_code_of_a_match_and_of_the_attention_of_heads(actions, tabs, results):
    match = results.by_tab["match"].match
    again = run(tabs, results, "match")["match"]
    torch.testing.assert_close(again.margin_scores(), match.margin_scores(), rtol=0, atol=1e-5)
    for point in ((60, 50), None):
        add_heads(actions, results, point)
        attention = run(tabs, results, "attention")["attention"]
        torch.testing.assert_close(
            attention.lengths, results.by_tab["attention"].heads.attention.lengths
        )


def test_code_and_command_of_a_match_of_images(actions, tabs, results, scene):
    scene.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("pig's query.png")
    query = actions.prepare_image(Path("pig's query.png"), "pig's query.png")
    rival = results.session.image
    match = actions.match(results.session.image, query, rival, "demo")
    results.by_tab["match"] = ShownMatch(
        match=match, image=results.session.image, model="demo", query_image=query,
        rival_image=rival,
    )  # fmt: skip
    again = run(tabs, results, "match")["match"]
    torch.testing.assert_close(again.patch_scores(), match.patch_scores(), rtol=0, atol=1e-5)
    words = tabs["match"].command(results, SETTINGS)
    result = CliRunner().invoke(app, [*words[1:], "--format=json", "--out=results"])
    assert result.exit_code == 0, result.output
    [file] = Path("results").glob("*.json")
    written = json.loads(file.read_text())
    record = tabs["match"].record(results, SETTINGS)["match"]
    for name in ("similarity", "margin"):
        assert written[name]["total"] == pytest.approx(record[name]["total"], abs=1e-5)
    assert tabs["match"].figure(results, SETTINGS).width > 300


def test_code_figure_and_record_of_the_regions_of_words(tabs, results, car_interactions):
    words = results.by_tab["words"]
    only_words = tabs["words"].figure(results, SETTINGS)
    results.by_tab["words"] = replace(words, interactions=car_interactions)
    figure = tabs["words"].figure(results, SETTINGS)
    assert figure.height > only_words.height + 200
    record = tabs["words"].record(results, SETTINGS)
    assert record["words"]["sentence"] == "a pig"
    assert record["interactions"]["fit"] == pytest.approx(0.75)
    command = tabs["words"].command(results, SETTINGS)
    assert command[1:3] == ["interactions", "scene.png"]
    lines = "\n".join(tabs["words"].python(results, SETTINGS))
    assert "clip_surgery.interactions(explainer, 'scene.png', 'a pig')" in lines
    compile(lines, "words", "exec")


def add_heads(actions, results, point):
    """Show the attention of all heads in the tab of attention."""
    attention = results.by_tab["attention"]
    heads = actions.head_attention(attention.image, point, "demo")
    results.by_tab["attention"] = replace(attention, heads=ShownHeads.of(heads, None))


@pytest.mark.parametrize("point", [(60, 50), None])
def test_the_command_of_the_attention_of_heads(actions, tabs, results, point):
    add_heads(actions, results, point)
    words = tabs["attention"].command(results, SETTINGS)
    assert words[:3] == ["clip-surgery", "attention", "scene.png"]
    assert ("--point=60.0,50.0" in words) == (point is not None)
    result = CliRunner().invoke(app, [*words[1:], "--format=json", "--out=results"])
    assert result.exit_code == 0, result.output
    [file] = Path("results").glob("*.json")
    written = json.loads(file.read_text())
    chosen = tabs["attention"].record(results, SETTINGS)["attention"]["chosen_head"]
    assert written["source"] == chosen["source"]
    assert written["weights"][chosen["block"]][chosen["head"]] == chosen["weights"]
    assert tabs["attention"].figure(results, SETTINGS).width > 300


@pytest.mark.parametrize("tab", [tab for tab in COMMANDS if tab not in ("masks", "methods")])
def test_commands_run(tabs, results, tab):
    words = tabs[tab].command(results, SETTINGS)
    assert words[:3] == ["clip-surgery", COMMANDS[tab], "scene.png"]
    result = CliRunner().invoke(app, [*words[1:], "--format=json", "--out=results"])
    assert result.exit_code == 0, result.output
    assert list(Path("results").glob("*.json"))


def test_every_tab_saves_a_figure_and_a_record(tabs, results):
    figures = {name: tab.figure(results, SETTINGS).tobytes() for name, tab in tabs.items()}
    assert len(set(figures.values())) == len(TABS)
    records = {name: tab.record(results, SETTINGS) for name, tab in tabs.items()}
    assert all(records.values())
    json.dumps(records, allow_nan=False)


def test_a_tab_without_result_is_refused(tabs, results):
    empty = Results(session=results.session)
    for name, tab in tabs.items():
        needs_a_button = name not in ("maps", "points", "tags", "segments")
        for write in (tab.python, tab.command, tab.figure):
            with pytest.raises(InputError, match="first"):
                write(Results(), SETTINGS)
            if needs_a_button:
                with pytest.raises(InputError, match="first"):
                    write(empty, SETTINGS)
        assert tab.record(Results(), SETTINGS) == {}
        assert "cs-hint" in tab.view(Results(), SETTINGS)


@pytest.mark.slow
def test_copy_buttons(open_visit, image_files):
    page = open_visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explain(page, image_files / "scene.png", "car")
    page.click("#copy-command")
    page.locator(".cs-code", has_text="clip-surgery explain scene.png --text=car").wait_for()
    page.wait_for_function("navigator.clipboard.readText().then((t) => t.startsWith('clip-s'))")
