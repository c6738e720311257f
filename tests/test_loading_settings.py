"""`load` and `wrap` have the same settings, the fields of `ExplainerSettings`."""

import typing
from dataclasses import fields

import pytest

import clip_surgery as cs
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.settings import ExplainerSettings, SettingArguments
from tests.towers import tiny_open_clip


def test_the_types_of_the_keyword_arguments_are_those_of_the_settings():
    assert typing.get_type_hints(SettingArguments) == typing.get_type_hints(ExplainerSettings)
    assert list(SettingArguments.__annotations__) == [f.name for f in fields(ExplainerSettings)]


def test_load_and_wrap_pass_every_setting_on():
    settings = {
        "method": "similarity",
        "templates": "photo",
        "framing": cs.FramingRule(mode="squash"),
        "batch_size": 3,
        "cache": False,
        "truncate": True,
        "vocabulary": ["sky", "sea"],
        "preset": "fast",
    }
    assert set(settings) == {field.name for field in fields(ExplainerSettings)}
    for explainer in (cs.load("demo", **settings), cs.wrap(tiny_open_clip(seed=0), **settings)):
        assert explainer.method.name == "similarity"
        assert explainer.templates == ("a photo of a {}.",)
        assert explainer.framing.mode == "squash"
        assert (explainer.batch_size, explainer.cache, explainer.truncate) == (3, None, True)
        assert explainer.vocabulary == ("sky", "sea")


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="metod"):
        cs.load("demo", metod="similarity")


@pytest.mark.parametrize("templates", [5, None, ["a {}", 3], b"a {}", {}, ["{} {}"], "x" * 3_000])
def test_templates_that_are_none_are_refused(templates):
    with pytest.raises((InputError, UnknownNameError)) as error:
        cs.load("demo", templates=templates)
    assert len(str(error.value)) < 500
