import pytest

from clip_surgery.apps.cli.shared.method_settings import default_settings, read_method
from clip_surgery.errors import InputError
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.registry import METHODS


def test_a_method_with_settings():
    assert read_method("clip_surgery") == ClipSurgery()
    assert read_method("clip_surgery", depth=3) == ClipSurgery(depth=3)
    method = read_method("clip_surgery(redundancy=none)", depth=3)
    assert method == ClipSurgery(depth=3, redundancy="none")


@pytest.mark.parametrize("name", METHODS)
def test_default_settings_are_those_of_the_method(name):
    method = read_method(name)
    for setting, value in default_settings(METHODS[name]).items():
        assert getattr(method, setting) == value


@pytest.mark.parametrize(
    ("text", "depth", "reason"),
    [
        ("surgery", None, "Unknown method 'surgery'. Did you mean 'clip_surgery'"),
        ("similarity", 2, "--depth is no setting of similarity, but of .*clip_surgery"),
        ("clip_surgery(depht=2)", None, "Did you mean 'depth'"),
        ("clip_surgery,similarity", None, "Expected one method"),
        ("all", None, "Expected one method"),
        ("clip_surgery", -1, "depth to be 0 or more"),
    ],
)
def test_bad_settings(text, depth, reason):
    with pytest.raises(InputError, match=reason):
        read_method(text, depth=depth)
