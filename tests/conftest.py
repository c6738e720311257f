"""Fixtures that all tests share: tiny random models, made once a session, never changed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.loading import wrap_backbone
from tests.towers import same_weights, tiny_hugging_face, tiny_open_clip

# A busy machine can take longer than the default limit of 200 ms for one example.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: no test asks the network
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell, and
    signal.signal(signal.SIGINT, signal.default_int_handler)  # every process made here inherits it


# Files of few tests that take minutes. They are started first, so that no process is still busy
# with one of them when the others have nothing left to do.
STARTED_FIRST = (
    "tests/packaging/test_package.py",
    "tests/apps/batch/test_ray.py",
    "tests/apps/page",
    "tests/export/web",
    "tests/architecture",
    "tests/test_notebooks.py",
)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the files that take longest first, and group them for the processes.

    All tests of a file run in one process, so that its models and explanations are made once. All
    tests of the page do, so that they share one server and one browser.
    """
    root = Path(__file__).parents[1]
    first = tuple(str(root / path) for path in STARTED_FIRST)
    items.sort(key=lambda item: not str(item.path).startswith(first))
    page = root / "tests/apps/page"
    for item in items:
        group = "page" if item.path.is_relative_to(page) else str(item.path.relative_to(root))
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def open_clip_model() -> nn.Module:
    return tiny_open_clip()


@pytest.fixture(scope="session")
def hugging_face_model() -> nn.Module:
    return tiny_hugging_face()


@pytest.fixture(scope="session")
def open_clip_backbone(open_clip_model: nn.Module) -> Backbone:
    return wrap_backbone(open_clip_model)


@pytest.fixture(scope="session")
def hugging_face_backbone(hugging_face_model: nn.Module) -> Backbone:
    return wrap_backbone(hugging_face_model)


@pytest.fixture(scope="session")
def paired_backbones() -> tuple[Backbone, Backbone]:
    """One set of weights in open_clip and in transformers."""
    ours, theirs = same_weights()
    return wrap_backbone(ours), wrap_backbone(theirs)


@pytest.fixture(params=["open_clip", "hugging_face"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """Each adapter in turn."""
    return request.getfixturevalue(f"{request.param}_backbone")
