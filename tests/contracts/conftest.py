"""Chooses which pairs of a method and a tower belong to the quick tests.

On the first of the representative towers all methods are tested, on the others a few methods that
differ in what they need from a tower. All other pairs are marked as slow.
"""

import pytest

from clip_surgery.testing.tiny_backbones import REPRESENTATIVES

QUICK_METHODS = ("similarity", "clip_surgery", "naclip", "legrad", "rollout", "proxy_clip")
"""Methods that are tested on every representative tower."""
SLOW_CASE = ("open_clip_resnet", "gscorecam")
"""The one method that is slow on the one tower with many channels."""


def pytest_collection_modifyitems(items):
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or not {"backbone", "method"} <= callspec.params.keys():
            continue
        tower, method = callspec.params["backbone"], callspec.params["method"]
        is_quick = tower == next(iter(REPRESENTATIVES)) or method in QUICK_METHODS
        if not is_quick or (tower, method) == SLOW_CASE:
            item.add_marker(pytest.mark.slow)
