import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.tags import BAR_COLOUR, tags_figure
from clip_surgery.tasks.tags import Tag

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def bars(*scores, **options):
    tags = [Tag(text=f"tag {index}", score=score) for index, score in enumerate(scores)]
    drawn = np.asarray(tags_figure(IMAGE, tags, **options).image())
    lengths = (drawn == BAR_COLOUR).all(-1).sum(1)
    starts = np.flatnonzero(np.diff(np.concatenate([[0], lengths])) > 0)
    return [int(lengths[row]) for row in starts + 1]


def test_bars_are_proportional_to_scores():
    full, half = bars(0.8, 0.4)
    assert full / half == pytest.approx(2, rel=0.02)


def test_scores_of_zero_and_below_have_no_bar():
    assert len(bars(0.8, 0.0, -0.5)) == 1
    assert bars(-0.1, -0.5) == []
    assert bars() == []


def test_only_the_best_tags_are_drawn():
    assert len(bars(*[0.5] * 9, top=4)) == 4
    with pytest.raises(InputError, match="top of at least 1"):
        tags_figure(IMAGE, [], top=0)


def test_long_names_have_room():
    def size_of(text):
        return tags_figure(IMAGE, [Tag(text=text, score=0.5)] * 15).image().size

    short, long, longer = (
        size_of("dog"),
        size_of("a dog on a bench"),
        size_of("a dog on a bench " * 3),
    )
    assert short[0] < long[0] < longer[0]
    assert short[1] == long[1] < longer[1]  # the last one has two lines
    assert size_of("a dog on a bench " * 30)[0] < 1200
