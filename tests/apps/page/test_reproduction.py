"""Code and commands of the page reproduce what it shows."""

import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from clip_surgery.apps.cli.main import app
from clip_surgery.apps.page.reproduction import COMMANDS, command, python_code
from clip_surgery.apps.page.results import maps, segmentation
from clip_surgery.apps.page.saved_results import Settings
from clip_surgery.apps.page.sessions import Shown
from clip_surgery.errors import InputError
from tests.apps.page.visits import explain

SETTINGS = Settings(contrast="image", opacity=0.5, min_presence=0.2, background="threshold")


@pytest.fixture
def shown(actions, scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene.image.save("scene.png")
    image = actions.prepare_image(Path("scene.png"), "scene.png")
    session = actions.explain(image, ["car", "pig's ear", "--dog"], "demo", "gem")
    return Shown(
        session=session,
        words=actions.sentence(image, "a pig", "demo", "gem"),
        words_image=image,
        attention=actions.attention(image, (60, 50), "demo"),
        attention_image=image,
    )


def run(shown, tab):
    namespace = {}
    exec(python_code(shown, tab, SETTINGS), namespace)
    return namespace


def test_python_code_computes_the_same(shown):
    torch.testing.assert_close(
        run(shown, "maps")["maps"], maps(shown.session, "image", side=320), rtol=0, atol=1e-4
    )
    assert Path("car.png").exists()
    classes = run(shown, "segments")["classes"]
    assert (classes == segmentation(shown.session, "threshold")).double().mean() > 0.999
    assert len(run(shown, "points")["boxes"]) == 3
    assert {tag.text for tag in run(shown, "tags")["tags"]} == set(shown.session.explanation.texts)
    torch.testing.assert_close(run(shown, "words")["words"].scores, shown.words.scores)
    torch.testing.assert_close(
        run(shown, "attention")["maps"][0].weights, shown.attention[0].weights
    )
    compile(python_code(shown, "masks", SETTINGS), "masks", "exec")


@pytest.mark.parametrize("tab", [tab for tab in COMMANDS if tab != "masks"])
def test_commands_run(shown, tab):
    words = shlex.split(command(shown, tab, SETTINGS))
    assert words[:3] == ["clip-surgery", COMMANDS[tab], "scene.png"]
    result = CliRunner().invoke(app, [*words[1:], "--format=json", "--out=results"])
    assert result.exit_code == 0, result.output
    assert list(Path("results").glob("*.json"))


def test_code_of_a_tab_without_result_is_refused(shown):
    with pytest.raises(InputError, match="Press Explain first"):
        python_code(Shown(), "maps", SETTINGS)
    for write in (python_code, command):
        with pytest.raises(InputError, match="Press Read first"):
            write(Shown(session=shown.session), "words", SETTINGS)


@pytest.mark.slow
def test_copy_buttons(open_visit, image_files):
    page = open_visit()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explain(page, image_files / "scene.png", "car")
    page.click("#copy-command")
    page.locator(".cs-code", has_text="clip-surgery explain scene.png --text=car").wait_for()
    page.wait_for_function("navigator.clipboard.readText().then((t) => t.startsWith('clip-s'))")
