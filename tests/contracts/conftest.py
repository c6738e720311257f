"""Marks the contracts of the one method that is slow on the one tower with many channels."""

import pytest

SLOW_CASE = ("open_clip_resnet", "gscorecam")


def pytest_collection_modifyitems(items):
    for item in items:
        callspec = getattr(item, "callspec", None)
        if (
            callspec
            and (callspec.params.get("backbone"), callspec.params.get("method")) == SLOW_CASE
        ):
            item.add_marker(pytest.mark.slow)
