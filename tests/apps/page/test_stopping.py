"""Work is bounded, and stops when its visitor leaves or its time is up."""

import io
import time
from types import SimpleNamespace
from uuid import uuid4
from zlib import crc32

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.stopping import RequestStoppedError, stoppable, time_limit, watched
from clip_surgery.backbones.loading import wrap_backbone
from tests.apps.page.api_clients import HTTP
from tests.zoo import tiny_transformers

TIMEOUT_S = 60  # long enough for a busy machine


def test_a_stoppable_explainer_gives_the_same_scores(explainer, scene):
    expected = explainer(scene.image, ["car", "pig", "dog"])
    with watched(lambda: False), time_limit(TIMEOUT_S):
        explanation = stoppable(explainer)(scene.image, ["car", "pig", "dog"])
    torch.testing.assert_close(explanation.patch_scores, expected.patch_scores, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["clip_surgery", "rollout", "gscorecam", "grad_cam", "legrad"])
def test_every_kind_of_method_stops_between_two_blocks(explainer, scene, method):
    checks = []

    def leaves_after_three_blocks():
        checks.append(True)
        return len(checks) > 3

    stopping = stoppable(explainer).with_method(method)
    texts = stopping.encode(["car", "pig", "dog"])
    with watched(leaves_after_three_blocks), pytest.raises(RequestStoppedError, match="cancelled"):
        stopping.explain_pixels(torch.rand(1, 3, 96, 96), texts)
    assert len(checks) == 4


def test_towers_of_a_grid_and_text_towers_stop(explainer):
    for name in ("siglip", "clip"):
        backbone = wrap_backbone(tiny_transformers(name))
        stopping = stoppable(type(explainer)(
            backbone=backbone, method=explainer.method, templates=("{}",),
        ))  # fmt: skip
        with watched(lambda: True):
            with pytest.raises(RequestStoppedError):
                stopping.encode(["a"])
            with pytest.raises(RequestStoppedError):
                stopping.backbone.tower.embed(torch.zeros(1, 3, 32, 32))


def test_a_request_over_its_time_is_stopped_with_advice(model_choices, scene, monkeypatch):
    actions = Actions(models=model_choices, limits=Limits(seconds=1))
    image = actions.prepare_image(scene.image)
    clock = iter(range(10**6))
    seconds = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("clip_surgery.apps.page.stopping.time", seconds)
    with pytest.raises(RequestStoppedError, match="longer than 1 s and was stopped"):
        actions.explain(image, ["car", "dog", "pig"], "demo", "clip_surgery")


@pytest.mark.parametrize("size", [(2000, 3), (1200, 30), (1, 5000), (5000, 1), (3, 2000)])
@pytest.mark.parametrize("method", ["clip_surgery", "rollout"])
def test_extreme_shapes_cost_no_more_than_others(model_choices, size, method):
    """Files of some hundred bytes took 9 to 79 s each, during which everybody waited."""
    actions = Actions(models=model_choices)
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, "PNG")
    image = actions.prepare_image(content.getvalue(), "strip.png")
    begin = time.process_time()
    explanation = actions.explain(image, ["dog", "cat", "car"], "demo", method).explanation
    assert time.process_time() - begin < 5
    assert explanation.patch_scores[0][0].numel() <= actions.limits.patches


def test_the_page_has_a_limit_of_patches_of_its_own(model_choices):
    image = Image.new("RGB", (700, 100), (250, 90, 20))
    for patches, fewest in ((1_024, 900), (100, 70)):
        actions = Actions(models=model_choices, limits=Limits(patches=patches))
        session = actions.explain(actions.prepare_image(image), ["a", "b", "c"], "demo", "gem")
        assert fewest < session.explanation.patch_scores[0][0].numel() <= patches


def test_an_image_that_declares_a_huge_size_is_refused_before_decoding(actions):
    content = io.BytesIO()
    Image.new("1", (1, 1)).save(content, "PNG")
    declared = bytearray(content.getvalue())
    declared[16:24] = (10_000).to_bytes(4, "big") * 2
    declared[29:33] = crc32(declared[12:29]).to_bytes(4, "big")
    with pytest.raises(Exception, match="over the limit of 50,000,000 pixels"):
        actions.prepare_image(bytes(declared), "huge.png")


@pytest.mark.slow
def test_work_of_visitors_that_left_is_dropped(site, image_files):
    """Six visitors leave: one is stopped, one does not begin, and four are still in the queue."""
    with (image_files / "scene.png").open("rb") as file:
        uploaded = HTTP.post(f"{site.address}gradio_api/upload", files={"files": file}).json()
    config = HTTP.get(f"{site.address}config").json()
    [maps] = [d for d in config["dependencies"] if d["api_name"] == "maps"]
    data = [{"path": uploaded[0]}, list("abcdefgh"), "demo", "gscorecam"]
    runs, stopped = site.runs, site.stopped
    with httpx.Client(timeout=TIMEOUT_S, verify=False) as client:
        streams = []
        for _ in range(6):
            body = {"data": data, "fn_index": maps["id"], "session_hash": uuid4().hex}
            assert client.post(f"{site.address}gradio_api/queue/join", json=body).status_code == 200
            url = f"{site.address}gradio_api/queue/data?session_hash={body['session_hash']}"
            streams.append(client.send(client.build_request("GET", url), stream=True))
        wait_until(lambda: site.runs > runs)
        for stream in streams:
            stream.close()
        wait_until(lambda: site.stopped >= stopped + 2)
    time.sleep(1)
    assert (site.runs - runs, site.stopped - stopped) == (2, 2)
    status = HTTP.get(f"{site.address}gradio_api/queue/status").json()
    assert status["queue_size"] == 0


def wait_until(condition):
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
