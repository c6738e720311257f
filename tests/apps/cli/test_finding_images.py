"""Which images the command line finds and reads, and its messages if there are none."""

from pathlib import Path

import pytest

from clip_surgery.apps.cli.shared import console


def test_folders_are_searched_recursively_without_hidden_ones(cli, scene):
    for folder in ("album/2024/may", "album/.trash"):
        Path(folder).mkdir(parents=True)
        Path(folder, f"{Path(folder).name.strip('.')}.png").write_bytes(scene.read_bytes())
    Path("album/2024/loop").symlink_to(Path("album").resolve(), target_is_directory=True)
    done = cli("explain", "album", "dog", "--format", "json")
    assert done.code == 0, done.err
    assert [path.name for path in Path("out").iterdir()] == ["may.explain.json"]


def test_a_folder_without_images_says_what_it_has(cli, home):
    (home / "notes").mkdir()
    (home / "notes/a.txt").touch()
    done = cli("explain", "notes", "dog")
    assert done.code == 2
    assert "only files with .txt" in done.err


def test_the_limit_of_pixels_can_be_set(cli, scene):
    done = cli("explain", scene, "dog", "--format", "json", "--max-pixels", "100")
    assert done.code == 2
    assert "over the limit of 100 pixels" in done.err


def test_long_texts_are_shortened_in_messages(capsys):
    console.error("x" * 10_000_000)
    assert len(capsys.readouterr().err) < 1200


def test_quiet_shows_errors_only(cli, scene):
    cli("explain", scene, "dog", "--format", "json")
    assert "note: replaced" in cli("explain", scene, "dog", "--format", "json").err
    done = cli("explain", scene, "dog", "--format", "json", "--quiet")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("make", [console.results, console.messages])
def test_no_color_leaves_out_all_styles(monkeypatch, make):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = make()
    with screen.capture() as capture:
        screen.print("[bold red]text[/]")
    assert "\x1b" not in capture.get()
