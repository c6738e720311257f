"""Methods as the command line writes them."""

import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.registry import METHODS, parse_methods
from clip_surgery.methods.similarity import Similarity


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("similarity", [Similarity()]),
        ("similarity,maskclip", [Similarity(), MaskClip()]),
        (" clip_surgery( depth = 8 ) ", [ClipSurgery(depth=8)]),
        (
            "clip_surgery(depth=2, redundancy=empty text),maskclip(residual=no,feed_forward=false)",
            [
                ClipSurgery(depth=2, redundancy="empty text"),
                MaskClip(residual=False, feed_forward=False),
            ],
        ),
        ("clip_surgery()", [ClipSurgery()]),
        ("clip_surgery(temperature=1)", [ClipSurgery(temperature=1.0)]),
    ],
)
def test_names_with_settings(text, methods):
    assert list(parse_methods(text).values()) == methods


def test_all_is_every_method():
    assert tuple(parse_methods("all")) == tuple(METHODS)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", InputError, "''"),
        ("similarity,,maskclip", InputError, "''"),
        ("clip-surgery", InputError, "clip-surgery"),
        ("surgery", UnknownNameError, "clip_surgery"),
        ("clip_surgery(deep=3)", UnknownNameError, "depth"),
        ("clip_surgery(depth)", InputError, "depth=VALUE"),
        ("clip_surgery(depth=many)", InputError, "int"),
        ("clip_surgery(depth=-1)", InputError, "-1"),
        ("maskclip(residual=perhaps)", InputError, "bool"),
        ("clip_surgery(redundancy=all)", UnknownNameError, "labels"),
        ("clip_surgery(depth=3", InputError, "depth=3"),
    ],
)
def test_what_cannot_be_read_is_named(text, error, message):
    with pytest.raises(error, match=message):
        parse_methods(text)
