"""Classes prompted with the names of a file."""

import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation import PromptedClasses, SceneDataset, Subset, protocol_named
from clip_surgery.evaluation.datasets.dataset import describe_dataset
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.methods.registry import METHODS

SCENES = SceneDataset(seed=3, count=4, names=("clock", "dog"))


@pytest.fixture
def names_file(tmp_path):
    def write(content):
        path = tmp_path / "names.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        "alarm clock, clock\ndog,puppy\n",
        "\ufeff# from somewhere\nclock: alarm clock, clock\n\ndog: dog, puppy\n",
    ],
)
def test_the_names_of_the_file_are_prompted_and_those_of_the_data_set_are_reported(
    names_file, content
):
    images = PromptedClasses(SCENES, names_file(content))
    assert images.classes.aliases == (("alarm clock", "clock"), ("dog", "puppy"))
    assert (images.name, tuple(images.names), len(images)) == ("scenes", ("clock", "dog"), 4)
    assert images[1].present == SCENES[1].present
    protocol = protocol_named("sliding_window").changed(size=96)
    plan = Plan(
        dataset=Subset(images, 2),
        methods={"similarity": METHODS["similarity"]()},
        protocol=protocol,
        part_size=2,
    )
    assert plan.texts == ("alarm clock", "clock", "dog", "puppy")
    assert plan.names == ("clock", "dog")
    assert "names.txt" in describe_dataset(images)


def test_background_words_of_the_file_replace_those_of_the_data_set(names_file):
    images = PromptedClasses(SCENES, names_file("clock\ndog\n~ wall, floor\n"))
    assert images.classes.background == ("wall", "floor")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("clock\n", "expected names of the 2 classes of scenes, one line for each, but got 1"),
        ("clock\ndog\npig\n", "but got 3 lines"),
        ("clock, dog\ndog\n", "'dog' more than once"),
        (" , \ndog\n", "Expected names with aliases each"),
        ("", "names.txt"),
        (b"\xff\xfe\x00", "names.txt"),
    ],
)
def test_a_file_that_does_not_fit_is_named(names_file, content, reason):
    with pytest.raises(InputError, match=r"names\.txt") as raised:
        PromptedClasses(SCENES, names_file(content))
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt"):
        PromptedClasses(SCENES, tmp_path / "none.txt")
