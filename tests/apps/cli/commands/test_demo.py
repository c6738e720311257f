import numpy as np
import pytest
from PIL import Image

from clip_surgery.apps.cli.commands.demo import read_scene


def test_the_scene_belongs_together():
    scene = read_scene()
    assert scene.mask.shape == scene.image.size
    assert set(np.unique(scene.mask)) == set(range(len(scene.objects) + 1))
    assert scene.absent not in scene.objects
    for value in range(1, len(scene.objects) + 1):
        assert (scene.mask == value).mean() > 0.02  # large enough to be seen by 12 x 12 patches


def test_demo_writes_its_figure_and_a_next_command(cli, home):
    done = cli("demo")
    assert done.code == 0, done.err
    assert done.err == ""
    with Image.open("out/demo.png") as drawn:
        assert drawn.width > 1000
    for word in (*read_scene().objects, read_scene().absent, "wrote out/demo.png"):
        assert word in done.out
    command = next(line for line in done.out.splitlines() if line.startswith("try"))
    words = command.removeprefix("try").split()
    assert words[0] == "clip-surgery"
    assert cli(*words[1:]).code == 0


def test_demo_into_another_folder(cli, home):
    assert cli("demo", "--out", "some/where").code == 0
    assert (home / "some/where/demo.png").is_file()


def test_demo_shows_that_surgery_repairs_the_maps(cli):
    """CLIP's own peaks miss the objects, and CLIP Surgery's hit most of them."""
    lines = cli("demo").out.splitlines()
    column = lines[0].index("CLIP Surgery's peak")
    rows = lines[1 : 1 + len(read_scene().objects)]
    own = sum("on it" in row[:column] for row in rows)
    repaired = sum("on it" in row[column:] for row in rows)
    assert repaired >= len(rows) / 2
    assert repaired > own


def test_out_that_is_a_file(cli, home):
    (home / "out").touch()
    done = cli("demo")
    assert done.code == 2
    assert "out: cannot be the folder for results" in done.err


@pytest.mark.parametrize("model", ["dem", "/no/such/folder"])
def test_unknown_model(cli, model):
    assert cli("demo", "--model", model).code == 2
