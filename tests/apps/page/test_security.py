"""Requests that a browser would not send: files of the machine, forged metadata, other types."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import uuid4

import pytest
from PIL import Image

from tests.apps.page.api_clients import HTTP

pytestmark = pytest.mark.slow

FORGED = {"meta": {"_type": "gradio.FileData"}}
LINKED = {**FORGED, "url": "http://127.0.0.1:9/x.png"}
HOSTILE_VALUES = (None, 7, "text", [], {}, [None], {"path": 3}, {"path": None}, {"url": 1}, [[]])


@pytest.fixture(scope="module")
def config(site):
    return HTTP.get(f"{site.address}config").json()


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), (250, 0, 0)).save(path)
    path.chmod(0o600)
    return path


def upload_folder(site):
    [folder] = site.temporary.glob("clip-surgery-page-*")
    return folder


def inputs_of(config, dependency):
    """The types of the components that a dependency reads, and its values at the start."""
    components = {component["id"]: component for component in config["components"]}
    return [components[number] for number in dependency["inputs"]]


def send(site, dependency, data, *, wait=60):
    """Call a dependency by its number, as the page's own script does, and return the events."""
    session = uuid4().hex
    body = {"data": data, "fn_index": dependency["id"], "session_hash": session}
    body |= {"event_data": {"index": [0, 0], "value": "x", "x": 0.5, "y": 0.5}, "trigger_id": 1}
    joined = HTTP.post(
        f"{site.address}gradio_api/queue/join",
        content=json.dumps(body),  # as it is: NaN and lone surrogates are sent too
        headers={"content-type": "application/json"},
        timeout=wait,
    )
    if joined.status_code != 200:
        assert joined.status_code < 500, joined.text
        return joined.text
    url = f"{site.address}gradio_api/queue/data?session_hash={session}"
    return HTTP.get(url, timeout=wait).text


def with_image(config, dependency, image):
    """Data for a dependency in which every image component has the value `image`."""
    data = []
    for component in inputs_of(config, dependency):
        kind, props = component["type"], component["props"]
        if kind == "image":
            data.append(image)
        elif kind == "json":
            data.append(["dog"])
        else:
            value = props.get("value")
            data.append("dog" if value in (None, "", []) else value)
    return data


def outputs_and_errors(answer):
    """The error and the data of each completed call in an answer."""
    events = [json.loads(line[6:]) for line in answer.splitlines() if line.startswith("data: ")]
    outputs = [event["output"] for event in events if event["msg"] == "process_completed"]
    return [(output.get("data"), output.get("error")) for output in outputs]


def forbidden_paths(folder, secret):
    """Paths that must all be answered as if the file had been deleted, by kind."""
    (folder / "link.png").symlink_to(secret)
    (folder / "linked").symlink_to(secret.parent)
    os.mkfifo(folder / "pipe.png")
    return {
        "existing": str(secret),
        "missing": str(secret.with_name("missing.png")),
        "link": str(folder / "link.png"),
        "linked folder": str(folder / "linked" / "secret.png"),
        "dots": f"{folder}/../../{os.path.relpath(secret, folder.parents[1])}",
        "process": f"/proc/self/root{secret}",
        "folder": str(folder),
        "pipe": str(folder / "pipe.png"),
        "null": "a\0b.png",
        "long": "x" * 5_000,
    }


@pytest.mark.parametrize("which", ["first", "others"])
def test_no_endpoint_reads_a_file_outside_of_the_upload_folder(site, config, secret, which):
    """All kinds of paths at the first endpoint; an existing and a missing file at the others."""
    folder = upload_folder(site)
    paths = forbidden_paths(folder, secret)
    before = site.runs
    endpoints = [d for d in config["dependencies"] if d["backend_fn"]]
    with_images = [d for d in endpoints if "image" in {c["type"] for c in inputs_of(config, d)}]
    assert len(with_images) >= 12
    first = which == "first"
    kinds = tuple(paths) if first else ("existing", "missing")
    all_metadata = ({}, FORGED, {"meta": None}, LINKED) if first else ({}, FORGED)
    try:
        for dependency in with_images[:1] if first else with_images[1:]:
            for metadata in all_metadata:
                answers = set()
                for kind in kinds:
                    image = {"path": paths[kind], "orig_name": "x.png", **metadata}
                    answer = send(site, dependency, with_image(config, dependency, image))
                    assert '"success":true' not in answer or "no longer kept" in answer, (
                        dependency["api_name"], kind, metadata, answer[:300],
                    )  # fmt: skip
                    assert "base64" not in answer
                    assert paths[kind] not in answer
                    answers.add(json.dumps(outputs_and_errors(answer)))
                assert len(answers) == 1, answers
    finally:
        for name in ("link.png", "linked", "pipe.png"):
            (folder / name).unlink()
    assert site.runs == before


def test_images_beside_an_uploaded_one_are_files_of_the_upload_folder_too(
    site, config, secret, image_files
):
    with (image_files / "red.png").open("rb") as file:
        [path] = HTTP.post(f"{site.address}gradio_api/upload", files={"files": file}).json()
    uploaded = {"path": path, "orig_name": "red.png"}
    [match] = [d for d in config["dependencies"] if d["api_name"] == "match"]
    before, answers = site.runs, set()
    for forged in (secret, secret.with_name("missing.png")):
        image = {"path": str(forged), "orig_name": "x.png", **FORGED}
        for others in ([image, None], [None, image], [uploaded, image]):
            answer = send(site, match, [uploaded, "dog", "cat", "demo", *others])
            assert "no longer kept" in answer
            assert str(forged) not in answer
            answers.add(json.dumps(outputs_and_errors(answer)))
    assert len(answers) == 1
    assert site.runs == before


def test_no_endpoint_fetches_a_link(site, config):
    """A server that counts its requests is named as path and as url of an image."""
    requested = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x.png"
        for dependency in config["dependencies"]:
            if "image" in {c["type"] for c in inputs_of(config, dependency)}:
                for image in ({"path": url, **FORGED}, {"url": url}, {"path": "a", "url": url}):
                    answer = send(site, dependency, with_image(config, dependency, image))
                    assert "base64" not in answer
        server.shutdown()
    assert requested == []


def test_the_call_api_does_not_draw_a_file_of_the_machine(site, secret):
    """The request that read any image of the machine in the first release."""
    body = {"data": [{"path": str(secret)}, ["dog"], "demo", "clip_surgery", "text", 0]}
    url = f"{site.address}gradio_api/call/figure"
    response = HTTP.post(url, json=body)
    assert response.status_code == 200
    events = HTTP.get(f"{url}/{response.json()['event_id']}", timeout=60).text
    assert "event: error" in events
    assert "no longer kept by the page" in events
    assert str(secret) not in events


def test_values_of_other_types_are_answered_with_a_message(site, config):
    for dependency in config["dependencies"]:
        if not dependency["backend_fn"]:
            continue
        kinds = [component["type"] for component in inputs_of(config, dependency)]
        for first in range(0, len(HOSTILE_VALUES), 3):
            values = HOSTILE_VALUES[first:] + HOSTILE_VALUES[:first]
            data = [values[number % len(values)] for number in range(len(kinds))]
            response = send(site, dependency, data)
            assert "Traceback" not in response
            assert "The server failed" not in response, (dependency["api_name"], kinds, data)
    assert HTTP.get(site.address).status_code == 200


def test_hostile_values_of_one_endpoint_are_answered_with_a_message(site, config):
    [explain] = [d for d in config["dependencies"] if d["api_name"] == "explain"]
    [points] = [d for d in config["dependencies"] if d["api_name"] == "points"]
    for value in HOSTILE_VALUES:
        answer = send(site, explain, [value] * 4)
        assert '"error":' in answer
        assert "The server failed" not in answer, value
    for number in ("NaN", "1e999", "-1", '"0"', "null", "[]"):
        answer = send(site, points, [None, ["a"], "demo", "clip_surgery", json.loads(number)])
        assert "from 0 to 1" in answer, number
    assert '"success":true' not in send(site, explain, [None] * 3)
    assert '"success":true' not in send(site, explain, [None] * 5)


def test_texts_of_strange_characters_are_answered(site, config, image_files):
    """Lone surrogates cannot be encoded as UTF-8, and control characters are escaped."""
    with (image_files / "red.png").open("rb") as file:
        uploaded = HTTP.post(f"{site.address}gradio_api/upload", files={"files": file}).json()
    [explain] = [d for d in config["dependencies"] if d["api_name"] == "explain"]
    image = {"path": uploaded[0], "orig_name": "\x1b[31m\ud800.png"}
    refused = send(site, explain, [image, ["\ud800"], "demo", "clip_surgery"])
    assert "valid Unicode" in refused
    answered = send(site, explain, [image, ["\x1b[31m", "\u202e<b>"], "demo", "clip_surgery"])
    assert '"success":true' in answered
    assert "\\\\x1b[31m" in answered  # the name of the image, escaped


@pytest.mark.parametrize("body", [None, [], {}, {"data": None}, {"data": {}}, {"data": 5}, "x"])
def test_requests_without_data_are_refused(site, body):
    for path in ("queue/join", "call/explain", "run/explain", "api/explain", "run/predict"):
        answer = HTTP.post(f"{site.address}gradio_api/{path}", json=body)
        assert answer.status_code in (400, 404, 422), path
        assert str(site.temporary) not in answer.text


def test_requests_for_unknown_functions_are_refused(site):
    for path in ("queue/join", "call/none", "run/predict", "api/predict", "cancel", "reset"):
        for extra in ({}, {"fn_index": 10**6}, {"fn_index": -1}, {"session_hash": "x"}):
            answer = HTTP.post(f"{site.address}gradio_api/{path}", json={"data": [], **extra})
            assert answer.status_code in (400, 404, 422), (path, extra)
    assert HTTP.get(site.address).status_code == 200


def test_requests_over_the_size_limit_are_refused(site):
    content = json.dumps({"data": ["a" * 300_000]})
    for path in ("queue/join", "call/explain", "run/explain", "cancel"):
        answer = HTTP.post(f"{site.address}gradio_api/{path}", content=content)
        assert answer.status_code == 413
        assert "larger than 256 kB" in answer.text


@pytest.mark.parametrize(
    "path", ["process_recording", "component_server", "proxy=http://127.0.0.1:9/", "deep_link"]
)
def test_functions_of_gradio_that_the_page_does_not_need_are_closed(site, path):
    assert HTTP.get(f"{site.address}gradio_api/{path}").status_code == 404
    assert HTTP.post(f"{site.address}gradio_api/{path}", json={}).status_code == 404
