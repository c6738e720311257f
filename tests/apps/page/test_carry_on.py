"""Earlier results, the Stop button, the position in the queue, and closed tabs."""

import re
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.apps.page.api_clients import HTTP
from tests.apps.page.visits import explain, open_tab, titles, type_texts, upload

pytestmark = pytest.mark.slow
TEXTS = ["car", "pig", "dog", "cow", "clock", "key", "book", "boat"]


class OtherVisitors:
    """Requests of other visitors that keep the model busy."""

    def __init__(self, site, image):
        self.site = site
        with image.open("rb") as file:
            uploaded = HTTP.post(f"{site.address}gradio_api/upload", files={"files": file}).json()
        config = HTTP.get(f"{site.address}config").json()
        [maps] = [d for d in config["dependencies"] if d["api_name"] == "masks"]
        self.data, self.number = [{"path": uploaded[0]}, ["a"], "demo", "clip_surgery"], maps["id"]
        self.client, self.streams = httpx.Client(timeout=60, verify=False), []

    def join(self, count):
        for _ in range(count):
            session = uuid4().hex
            body = {"data": self.data, "fn_index": self.number, "session_hash": session}
            url = f"{self.site.address}gradio_api/queue"
            assert self.client.post(f"{url}/join", json=body).status_code == 200
            request = self.client.build_request("GET", f"{url}/data?session_hash={session}")
            self.streams.append(self.client.send(request, stream=True))

    def leave(self):
        for stream in self.streams:
            stream.close()
        self.client.close()


@pytest.fixture
def others(site, image_files):
    visitors = OtherVisitors(site, image_files / "scene.png")
    yield visitors
    visitors.leave()


@pytest.fixture
def wide_image(tmp_path):
    """An image of many patches, so that all methods together take several seconds."""
    Image.effect_noise((700, 100), 90).convert("RGB").save(tmp_path / "wide.png")
    return tmp_path / "wide.png"


def wait_for(page, condition):
    for _ in range(1200):
        if condition():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it took too long")


def test_going_back_to_an_earlier_result(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    assert page.locator("#history button").count() == 0
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a pig")
    page.click("#read")
    page.wait_for_selector("#read-words .cs-word")
    page.get_by_label("Remove Image").click()
    page.wait_for_selector("#read-words .cs-hint")
    open_tab(page, "Maps")
    upload(page, image_files / "red.png")
    page.wait_for_selector("#image img")
    type_texts(page, "dog")
    page.click("#explain")
    page.wait_for_selector("#maps .cs-card[data-title=dog]")
    assert page.locator("#history button").count() == 2
    page.locator("#history button", has_text="car, pig").last.click()
    page.wait_for_selector("#maps .cs-card[data-title=dog]", state="detached")
    assert titles(page, "#maps") == ["car", "pig"]
    page.wait_for_function("document.querySelector('#image img').src.includes('scene.png')")
    assert page.locator("#read-words .cs-word", has_text="pig").count() == 1  # the words too
    page.wait_for_function("!document.querySelector('#texts').innerText.includes('dog')")
    assert page.locator(".cs-notice").count() == 0
    page.click("#explain")  # the upload can be explained again
    page.wait_for_function("document.querySelectorAll('#history button').length == 3")


def test_stop_ends_a_running_request(open_visit, site, wide_image):
    page = open_visit()
    explain(page, wide_image, *TEXTS)
    assert page.locator("#stop").get_attribute("aria-disabled") == "true"
    open_tab(page, "Methods")
    runs, stopped = site.runs, site.stopped
    page.click("#all-methods")
    page.wait_for_selector("#stop[aria-disabled=false]")
    wait_for(page, lambda: site.runs > runs)
    page.click("#stop")
    page.get_by_text("Stopped.").wait_for()
    wait_for(page, lambda: site.stopped == stopped + 1)
    begun = site.runs
    page.wait_for_timeout(1000)
    assert site.runs == begun
    assert page.locator("#methods .cs-card").count() == 0
    open_tab(page, "Maps")
    assert titles(page, "#maps") == TEXTS  # what was shown stays
    page.click("#save-json")  # and can be saved
    page.click("#explain")
    page.wait_for_function("document.querySelectorAll('#history button').length == 2")


def test_the_position_in_the_queue_is_shown_and_a_waiting_request_can_be_stopped(
    open_visit, others, image_files
):
    page = open_visit(width=390)
    upload(page, image_files / "scene.png")
    page.wait_for_selector("#image img")
    type_texts(page, "car")
    others.join(4)
    page.click("#explain")
    status = page.locator("#run-status")
    expect(status).to_contain_text(re.compile(r"queue: \d+/\d+"))
    box = status.bounding_box()
    assert 0 < box["y"] < 900  # in the window, next to the button
    page.click("#stop")
    page.get_by_text("Stopped.").wait_for()
    page.wait_for_selector("#stop[aria-disabled=true]")


def test_work_of_a_closed_tab_is_stopped(open_visit, site, wide_image, image_files):
    page, other = open_visit(), open_visit()
    explain(page, wide_image, *TEXTS)
    open_tab(page, "Methods")
    runs, stopped = site.runs, site.stopped
    page.click("#all-methods")
    wait_for(page, lambda: site.runs > runs)
    page.close()
    wait_for(other, lambda: site.stopped == stopped + 1)
    begun = site.runs
    explain(other, image_files / "scene.png", "car")  # others need not wait
    assert site.runs == begun + 1
