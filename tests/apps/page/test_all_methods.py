"""All methods of a model, one after the other, within the time of a request."""

from types import SimpleNamespace

import pytest

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.all_methods import explain_by_all_methods
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.stopping import RequestStoppedError, watched


def test_no_method_begins_after_the_time_of_a_request(model_choices, scene, monkeypatch):
    actions = Actions(models=model_choices, limits=Limits(seconds=60))
    image = actions.prepare_image(scene.image)
    clock = iter(range(0, 10**6, 40))  # each method takes 40 s
    seconds = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("clip_surgery.apps.page.all_methods.time", seconds)
    explanations, refused = explain_by_all_methods(actions, image, ["car"], "demo")
    methods = list(model_choices.first.methods)
    assert list(explanations) == methods[:2]
    assert refused == dict.fromkeys(methods[2:], "not begun after 60 s")


def test_a_visitor_that_left_gets_no_further_method(actions, scene):
    image = actions.prepare_image(scene.image)
    begun = []

    def note(number, count, name):
        begun.append(name)

    with watched(lambda: len(begun) == 2), pytest.raises(RequestStoppedError):
        explain_by_all_methods(actions, image, ["car"], "demo", on_method=note)
    assert begun == list(actions.models.first.methods)[:2]
