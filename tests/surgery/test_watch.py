"""What a walk keeps of the blocks before the last one, compared with plain loops."""

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.surgery.attention import value_value
from clip_surgery.surgery.last_block import enter_last_block
from clip_surgery.surgery.walk import walk, walk_two_paths
from clip_surgery.surgery.watch import Watch, head_block, token_block
from tests.methods.naive import (
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    random_images,
    run,
)

LAYERS = 6


@pytest.fixture(scope="module")
def model():
    return double_model(visual={"layers": LAYERS})


@pytest.fixture(scope="module")
def tower(model):
    return double_backbone(model).tower


def outputs(model, image):
    """The tokens before the first block and after each block."""
    tokens = [embed(model, image)]
    for block in blocks_of(model):
        tokens.append(run(block, tokens[-1]))
    return tokens


def rule_that_keeps(seen):
    def rule(heads):
        seen.append(heads.seen)
        return value_value(heads)

    return rule


@pytest.mark.parametrize(
    ("fraction", "blocks", "tokens", "heads"),
    [
        (0.75, 12, 9, 9),
        (0.75, 24, 18, 18),
        (0.75, 32, 24, 24),
        (0.72, 12, 9, 9),
        (0.72, 24, 17, 17),
        (0.0, 12, 1, 1),
        (1.0, 12, 11, 12),
        (1.0, 2, 1, 2),
        (0.5, 1, 0, 1),
    ],
)
def test_a_fraction_names_a_block_of_a_tower_of_any_depth(fraction, blocks, tokens, heads):
    assert token_block(fraction, blocks) == tokens
    assert head_block(fraction, blocks) == heads


@pytest.mark.parametrize("depth", [1, 4, LAYERS])
@torch.no_grad()
def test_a_rule_sees_the_tokens_heads_and_levels_that_were_asked_for(model, tower, depth):
    pixels, seen = random_images(), []
    watch = Watch(tokens=(2 / 6, 5 / 6), heads=(3 / 6,), levels=(2 / 6, 4 / 6))
    walk_two_paths(tower, pixels, depth=depth, rule=rule_that_keeps(seen), watch=watch)
    kept = seen[-1]
    assert sorted(kept.tokens) == [2, 5]
    assert list(kept.heads) == [3]
    for row, image in enumerate(pixels):
        expected = outputs(model, image)
        torch.testing.assert_close(kept.tokens[2][row], expected[2])
        torch.testing.assert_close(kept.tokens[5][row], expected[5])
        torch.testing.assert_close(kept.levels[row], sum(expected[2:5]))
        block = blocks_of(model)[2]
        for index, head in enumerate(heads_of(block, block.ln_1(expected[2]))):
            torch.testing.assert_close(kept.heads[3].query[row, index], head["q"])
            torch.testing.assert_close(kept.heads[3].key[row, index], head["k"])


@torch.no_grad()
def test_nothing_is_kept_that_was_not_asked_for(tower):
    seen = []
    walk_two_paths(tower, random_images(), depth=2, rule=rule_that_keeps(seen))
    assert (seen[-1].tokens, seen[-1].heads, seen[-1].levels) == ({}, {}, None)


@torch.no_grad()
def test_a_watch_changes_no_feature(tower):
    pixels = random_images()
    plain = walk_two_paths(tower, pixels)
    watched = walk_two_paths(tower, pixels, watch=Watch(tokens=(0.5,), heads=(0.2, 0.9)))
    torch.testing.assert_close(watched.patches, plain.patches)
    torch.testing.assert_close(watched.image, plain.image)


@torch.no_grad()
def test_the_last_block_has_its_input_and_the_image_feature(model, tower):
    pixels = random_images()
    last = enter_last_block(tower, pixels, Watch(tokens=(0.5,)))
    torch.testing.assert_close(last.image(), walk(tower, pixels).image)
    for row, image in enumerate(pixels):
        expected = outputs(model, image)
        torch.testing.assert_close(last.tokens[row], expected[-2])
        torch.testing.assert_close(last.seen.tokens[3][row], expected[3])
        torch.testing.assert_close(last.class_residual(last.tokens)[row], expected[-2][:1])


@torch.no_grad()
def test_a_tower_of_one_block_keeps_its_first_tokens():
    model = double_model(visual={"layers": 1})
    pixels = random_images()
    last = enter_last_block(double_backbone(model).tower, pixels, Watch(tokens=(0.7,)))
    torch.testing.assert_close(last.seen.tokens[0][1], embed(model, pixels[1]))


@pytest.mark.parametrize(
    "settings",
    [{"tokens": (1.5,)}, {"heads": (-0.1,)}, {"heads": (float("nan"),)}, {"levels": (0.8, 0.2)}],
)
def test_fractions_outside_of_the_tower_are_refused(settings):
    with pytest.raises(InputError):
        Watch(**settings)
