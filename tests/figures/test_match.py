import numpy as np
import pytest
import torch
from PIL import Image

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.figures.match import best_words, match_figure, sums
from clip_surgery.figures.signed_overlay import signed_tile
from clip_surgery.figures.tiles import Style
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.match import explain_match

IMAGE = Image.radial_gradient("L").resize((60, 40)).convert("RGB")
OTHER = Image.linear_gradient("L").resize((40, 60)).convert("RGB")


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo", cache=False)


def drawn(picture):
    return picture.draw(picture.size)


def test_red_adds_and_blue_takes_away():
    image = cs.read_image(Image.new("RGB", (40, 40), (200, 120, 40)))
    framing = Framing.squash(image.size, frame=Size(32, 32))
    scores = torch.tensor([[2.0, 0.0], [0.0, -2.0]]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    style = Style.of(image, tile=40, opacity=1.0)
    pixels = np.asarray(drawn(signed_tile(image, scores, framing, style, limit=2.0))).astype(int)
    red, neutral, blue = pixels[8, 8], pixels[8, 32], pixels[32, 32]
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    assert len(set(neutral.tolist())) == 1  # the image is grey
    flat = np.asarray(drawn(signed_tile(image, scores * 0, framing, style, limit=0.0)))
    assert len(np.unique(flat)) == 1
    with pytest.raises(InputError, match="finite scores"):
        signed_tile(image, scores * torch.nan, framing, style, limit=1.0)


def test_figures_of_texts_rivals_and_images(explainer):
    plain = explain_match(explainer, "a dog and a cat", IMAGE)
    four, three = (match_figure(IMAGE, plain, top=top, tile=80) for top in (2, 1))
    assert four.width > three.width  # one tile per word
    rival = explain_match(explainer, "a dog", IMAGE, "a cat")
    assert match_figure(IMAGE, rival, tile=80).width == four.width
    assert "difference: " in sums(rival)
    images = explain_match(explainer, OTHER, IMAGE)
    both = match_figure(IMAGE, images, query_image=OTHER, tile=80)
    assert both.height > 2 * 80
    with pytest.raises(InputError, match="top of at least 1"):
        match_figure(IMAGE, plain, top=0)


def test_words_that_occur_twice_are_drawn_once_and_function_words_last(explainer):
    found = explain_match(explainer, "a dog on a dog", IMAGE)
    [(word, score, word_map)] = best_words(found, top=5)
    assert word == "dog"
    assert score == pytest.approx(found.word_scores()["dog"])
    torch.testing.assert_close(word_map, found.word_maps()[[1, 4]].sum(0))
    assert [word for word, *_ in best_words(explain_match(explainer, "on a", IMAGE), top=1)] != []
