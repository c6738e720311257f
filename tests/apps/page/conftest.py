"""Fixtures: the actions of a page with the demo model, and a server of the page."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.inputs.images import read_image
from clip_surgery.loading import load
from clip_surgery.tasks.interactions import Interactions
from tests.apps.page.server import LeftHalf
from tests.browser import TIMEOUT_MS, open_browser


@pytest.fixture(scope="session")
def explainer(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIP_SURGERY_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load("demo", vocabulary="common")


@pytest.fixture(scope="session")
def model_choices(explainer):
    return ModelChoices.of([explainer])


@pytest.fixture
def actions(model_choices):
    return Actions(models=model_choices, segmenter=LeftHalf(seconds=0))


@pytest.fixture(scope="session")
def scene():
    """A scene with known objects, 320 px."""
    return SceneDataset(seed=31, count=11, size=320)[10]


@pytest.fixture
def car_interactions(explainer, scene):
    """Interactions of "a car" with 2 x 2 regions of the scene, made up."""
    image = read_image(scene.image)
    grid = explainer.backbone.tower.grid(explainer.pixels(image))
    return Interactions(
        words=("a", "car"),
        word_scores=torch.tensor([0.01, 0.2]),
        region_scores=torch.zeros(2, 2),
        pair_scores=torch.tensor([[[0.5, 0.0], [0.0, 0.0]], [[0.1, -0.2], [0.4, 0.0]]]),
        fit=0.75,
        fit_without_pairs=0.5,
        framing=explainer.frame(image),
        patch_regions=tuple(
            torch.arange(count) * 2 // count for count in (grid.rows, grid.columns)
        ),
    )


@pytest.fixture
def image_files(tmp_path, scene):
    """Files to upload: a scene, an image of one colour, one that is too large, and no image."""
    scene.image.save(tmp_path / "scene.png")
    Image.new("RGB", (200, 120), (250, 10, 10)).save(tmp_path / "red.png")
    Image.new("L", (1100, 1000)).save(tmp_path / "large.png")
    (tmp_path / "broken.png").write_bytes(b"not an image at all")
    return tmp_path


class Site(NamedTuple):
    """A running page: its address, the file that counts runs of models, its temporary folder."""

    address: str
    file: Path
    temporary: Path

    @property
    def runs(self):
        """How often a model began to run."""
        return self.lines("run")

    @property
    def stopped(self):
        """How often a model was stopped before its end."""
        return self.lines("stopped")

    def lines(self, line):
        return self.file.read_text().splitlines().count(line) if self.file.exists() else 0


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A running page."""
    folder = tmp_path_factory.mktemp("site")
    temporary = folder / "temporary"
    temporary.mkdir()
    server = Path(__file__).with_name("server.py")
    settings = {"CLIP_SURGERY_CACHE": str(folder / "cache"), "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, str(server), str(folder / "runs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            address = process.stdout.readline().strip()
            assert address, "the page did not start"
            yield Site(address, folder / "runs", temporary)
        finally:
            process.stdin.close()
            process.wait(timeout=60)
    assert list(temporary.glob("clip-surgery-*")) == []  # all uploads are deleted with the page


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def open_visit(browser, site):
    """A function that opens the page as a new visitor and records the requested addresses."""
    contexts = []

    def open_page(query="", *, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.requests = []
        page.failures = []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.goto(site.address + query)
        page.wait_for_selector("#explain")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.failures == []
            outside = [
                url for url in page.requests if not url.startswith((site.address, "data:", "blob:"))
            ]
            assert outside == []
        context.close()
