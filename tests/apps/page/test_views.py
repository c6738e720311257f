"""The HTML of the results: maps look as in `overlay`, and texts are never read as markup."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps import page
from clip_surgery.apps.page.attention_heads import ShownHeads
from clip_surgery.apps.page.attention_views import PointAttention, attention_view
from clip_surgery.apps.page.examples import examples, examples_view
from clip_surgery.apps.page.html_cards import Card, cards_view, data_link, heat_layer
from clip_surgery.apps.page.match_views import ShownMatch, match_view
from clip_surgery.apps.page.requests import with_messages
from clip_surgery.apps.page.sessions import Results
from clip_surgery.apps.page.settings import DEFAULTS
from clip_surgery.apps.page.tabs.all_tabs import tabs_of
from clip_surgery.apps.page.tabs.heads import Heads
from clip_surgery.apps.page.tabs.masks import ShownMasks
from clip_surgery.apps.page.tabs.methods import MethodMaps
from clip_surgery.apps.page.tabs.points import points_view
from clip_surgery.apps.page.tabs.segments import segments_view
from clip_surgery.apps.page.tabs.words import ReadSentence, read_view
from clip_surgery.figures.overlay import OPACITY, overlay
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.tasks.inspection import attention

EVIL = '"><script>alert(1)</script>'


def opened(link):
    """The image of a data: link."""
    kind, content = link.split(",", 1)
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("opacity", [0.0, 0.4, 1.0])
def test_a_layer_over_the_image_equals_the_overlay(scene, opacity):
    ramp = torch.linspace(0, 1, 320).expand(320, 320)
    layer = opened(heat_layer(ramp)).convert("RGBA")
    share = np.asarray(layer, np.float64)[..., 3:] / 255 * opacity
    colours = np.asarray(layer, np.float64)[..., :3]
    blended = share * colours + (1 - share) * np.asarray(scene.image, np.float64)
    expected = np.asarray(overlay(scene.image, ramp, opacity=opacity), np.float64)
    assert np.abs(blended - expected).mean() < 4  # WebP is lossy


def test_the_image_is_written_once_and_titles_are_escaped(scene):
    image = read_image(scene.image)
    html = cards_view(image, [Card(title=EVIL, note=EVIL), Card(title="b")])
    assert html.count("data:image/webp") == 1
    assert "<script" not in html
    assert "--cs-ratio:320/320" in html
    assert opened(data_link(scene.image)).convert("RGB").tobytes() == scene.image.tobytes()


@pytest.fixture
def session(actions, scene):
    image = actions.prepare_image(scene.image)
    return actions.explain(image, ["car", "pig", EVIL], "demo", "clip_surgery")


def found_match(actions, image, query, rival=None):
    images = [each if isinstance(each, InputImage) else None for each in (query, rival)]
    match = actions.match(image, query, rival, "demo")
    return ShownMatch(
        match=match, image=image, model="demo", query_image=images[0], rival_image=images[1]
    )


def test_every_view_escapes_texts(actions, session):
    image, texts = session.image, session.explanation.texts
    sentence = actions.sentence(image, f"a car {EVIL}", "demo", "clip_surgery")
    results = Results(
        session=session,
        by_tab={
            "words": ReadSentence(sentence, image, "demo", "gem"),
            "masks": ShownMasks(of_texts=actions.masks(session)),
            "compare": actions.explain(image, texts, "demo", "gem"),
            "methods": MethodMaps(explanations={EVIL: session.explanation}, refused={EVIL: EVIL}),
            "heads": Heads.of(*actions.decompose(image, texts, "demo")),
            "match": found_match(actions, image, f"a car {EVIL}", EVIL),
        },
    )
    for tab in tabs_of(actions).values():
        html = tab.view(results, DEFAULTS)
        assert "<script" not in html, tab.name
        assert "car" in html or tab.name == "attention"
        assert "&lt;" in html or tab.name == "attention"


def test_words_and_their_regions(actions, scene, car_interactions):
    image = read_image(scene.image)
    words = actions.sentence(image, "a car", "demo", "gem")
    alone = read_view(ReadSentence(words, image, "demo", "gem"))
    assert "explains" not in alone
    evil = replace(car_interactions, words=("a", EVIL))
    assert "<script" not in read_view(ReadSentence(words, image, "demo", "gem", evil))
    html = read_view(ReadSentence(words, image, "demo", "gem", car_interactions))
    assert "The fit explains 75% of the similarities" in html
    assert "50% without pairs" in html
    # The only content word has a map, from -1 to 1 relative to its strongest region.
    assert html.count(": regions</b>") == 1
    [values] = re.findall(r'word car adds[^>]*data-values="64,64,([^"]*)"', html)
    levels = np.frombuffer(base64.b64decode(values), np.uint8).reshape(64, 64) / 127.5 - 1
    corners = levels[np.ix_([4, -5], [4, -5])]
    np.testing.assert_allclose(corners, [[0.25, -0.5], [1, 0]], atol=0.02)


def test_points_boxes_and_areas(session):
    html = points_view(session, None)
    assert html.count('class="cs-box"') <= 3  # the best of each text
    assert 'class="cs-on"' in html
    assert 'class="cs-off"' in html
    unlikely = points_view(session, 1.0)
    assert unlikely.count(">no points<") == 3
    shares = re.findall(r"<span>([\d.]+)%</span>", segments_view(session, "none"))
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.3)
    above_threshold = re.findall(r"<span>([\d.]+)%</span>", segments_view(session, "threshold"))
    assert sum(map(float, above_threshold)) < 100


def test_a_method_without_dense_similarity_gets_a_message(actions, scene):
    image = actions.prepare_image(scene.image)
    session = actions.explain(image, ["car"], "demo", "grad_cam")
    assert "for example clip_surgery" in segments_view(session, "none")


def test_attention_marks_the_point(explainer, scene):
    image = read_image(scene.image)
    html = attention_view(PointAttention(attention(explainer, image, (100, 50)), image))
    assert html.count('cx="100.0" cy="50.0"') == 3


def test_the_small_maps_of_all_heads_are_parts_of_one_image(actions, scene):
    image = read_image(scene.image)
    attention = actions.head_attention(image, (100, 50), "demo")
    heads = ShownHeads.of(attention, None)
    html = attention_view(PointAttention((), image, heads))
    blocks, heads_per_block = attention.weights.shape[:2]
    assert html.count("data-block=") == blocks * heads_per_block
    [sprite] = re.findall(r"--cs-sprite:url\(([^)]*)\)", html)
    pixels = opened(sprite).convert("RGB")
    assert pixels.size == (44 * heads_per_block, 44 * blocks)
    framing = replace(attention.framing, original=Size(44, 44))
    for block, head in ((0, 0), (blocks - 1, heads_per_block - 1)):
        box = (44 * head, 44 * block, 44 * head + 44, 44 * block + 44)
        brightness = np.asarray(pixels.crop(box).convert("L"), np.float64)
        expected = framing.restore_map(attention.weights[block, head]).numpy()
        assert np.corrcoef(brightness.ravel(), expected.ravel())[0, 1] > 0.8
    other = attention_view(PointAttention((), image, replace(heads, kind=1)))
    assert re.findall(r"--cs-sprite:url\(([^)]*)\)", other) != [sprite]
    assert f"block {blocks - 1}, head 0: attention" in html


def test_chosen_heads_stay_chosen_where_they_exist(actions, scene):
    attention = actions.head_attention(read_image(scene.image), None, "demo")
    chosen = ShownHeads(attention=attention, kind=1, chosen=(2, 1))
    assert ShownHeads.of(attention, chosen).chosen == (2, 1)
    fewer = replace(attention, weights=attention.weights[:2], lengths=attention.lengths[:2])
    assert ShownHeads.of(fewer, chosen).chosen == (1, 0)


def test_the_numbers_of_a_match_add_up(actions, scene):
    image = read_image(scene.image)
    html = match_view(found_match(actions, image, "a photo of a car", "a photo of a pig"))
    rows = re.findall(r"<td>([+-][\d.]+)</td>" * 3, html)
    assert len(rows) == 3
    for total, patches, rest in np.array(rows, float):
        assert total == pytest.approx(patches + rest, abs=0.002)
    assert float(rows[2][0]) == pytest.approx(float(rows[0][0]) - float(rows[1][0]), abs=0.002)
    alone = match_view(found_match(actions, image, "a photo of a car"))
    assert 'data-title="car"' in alone
    assert "adds most at the " in alone


def test_a_match_of_a_text_with_itself_has_no_difference(actions, scene):
    image = read_image(scene.image)
    html = match_view(found_match(actions, image, "a car", "a car"))
    assert "no part stands out" in html
    assert "nan" not in html


def test_a_match_of_two_images_frames_the_same_number_of_patches_in_both(actions, scene):
    image = read_image(scene.image)
    query = InputImage(image=scene.image.resize((200, 100)), name=f"{EVIL}.png")
    html = match_view(found_match(actions, image, query))
    assert "<script" not in html
    assert html.count("--cs-image") == 2
    count = len(re.findall(r"<b>\d</b> \+0", html))  # what each pair adds
    assert count > 0
    assert html.count('class="cs-box"') == 2 * count
    box = r'cs-box" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"'
    query_part, image_part = html.split('class="cs-marks"')[1:]
    for part, size in ((query_part, (200, 100)), (image_part, (320, 320))):
        boxes = np.array(re.findall(box, part), float)
        assert (boxes[:, 2:] > 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= size).all()
    with_rival = match_view(found_match(actions, image, query, read_image(scene.image)))
    assert "<script" not in with_rival
    assert with_rival.count("--cs-image") == 3
    assert "difference" in with_rival
    mixed = match_view(found_match(actions, image, "a car", query))
    assert mixed.count("--cs-image") == 2
    assert mixed.count('class="cs-sentence"') == 1


def test_an_image_is_most_similar_to_itself(actions, scene):
    image = read_image(scene.image)
    other = read_image(Image.new("RGB", (64, 64), "red"))
    match = found_match(actions, image, image, other).match
    assert match.similarity == pytest.approx(1, abs=1e-4)
    assert match.margin() > 0
    total = float(match.margin_scores().sum()) + match.margin_rest()
    assert total == pytest.approx(match.margin(), abs=1e-5)


def test_examples_have_a_text_that_is_not_in_the_image():
    page_examples = examples()
    html = examples_view(page_examples)
    for number, example in enumerate(page_examples):
        assert f'data-example="{number}"' in html
        assert example.caption
        assert example.texts[-1] not in example.texts[:-1]


def test_every_class_of_the_style_sheet_is_used_in_the_html():
    folder = Path(page.__file__).parent
    style = (folder / "page.css").read_text()
    sources = "".join(path.read_text() for path in [*folder.rglob("*.py"), folder / "page.js"])
    used = set(re.findall(r"cs-[a-z-]+", sources))
    assert set(re.findall(r"\.(cs-[\w-]+)", style)) <= used


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_missing_memory_is_named_in_the_message(error):
    def fail():
        raise error

    with pytest.raises(gr.Error, match=r"The server failed \(out of memory\)"):
        with_messages(fail)()


def test_the_style_sheet_has_the_opacity_of_the_library():
    style = (Path(page.__file__).parent / "page.css").read_text()
    assert set(re.findall(r"--cs-opacity, ([\d.]+)", style)) == {str(OPACITY)}
