"""Requests that a browser would not send: files of the machine, forged metadata, other types."""

import json
import os
from uuid import uuid4

import httpx
import pytest
from PIL import Image

FORGED = {"meta": {"_type": "gradio.FileData"}}
HOSTILE_VALUES = (None, 7, "text", [], {}, [None], {"path": 3}, {"path": None}, {"url": 1}, [[]])


@pytest.fixture(scope="module")
def config(site):
    return httpx.get(f"{site.address}config").json()


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
    joined = httpx.post(f"{site.address}gradio_api/queue/join", json=body, timeout=wait)
    if joined.status_code != 200:
        assert joined.status_code < 500, joined.text
        return joined.text
    url = f"{site.address}gradio_api/queue/data?session_hash={session}"
    return httpx.get(url, timeout=wait).text


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
            data.append(props.get("value") or "dog")
    return data


def outputs_and_errors(response):
    """The outputs and errors in the events of a response."""
    events = [json.loads(line[6:]) for line in response.splitlines() if line.startswith("data: ")]
    outputs = [event["output"] for event in events if event["msg"] == "process_completed"]
    return [(output.get("data"), output.get("error")) for output in outputs]


def test_no_endpoint_reads_a_file_outside_of_the_upload_folder(site, config, secret):
    folder = upload_folder(site)
    link = folder / "link.png"
    link.symlink_to(secret)
    linked_folder = folder / "linked"
    linked_folder.symlink_to(secret.parent)
    missing = secret.with_name("missing.png")
    paths = {
        "existing": str(secret),
        "missing": str(missing),
        "link": str(link),
        "linked folder": str(linked_folder / "secret.png"),
        "dots": f"{folder}/../../{os.path.relpath(secret, folder.parents[1])}",
        "folder": str(folder),
    }
    before = site.runs
    endpoints = [d for d in config["dependencies"] if d["backend_fn"]]
    with_images = [d for d in endpoints if "image" in {c["type"] for c in inputs_of(config, d)}]
    assert len(with_images) >= 12
    try:
        for dependency in with_images:
            for metadata in ({}, FORGED, {"meta": {"_type": "other"}}, {"meta": None}):
                responses = {}
                for kind, path in paths.items():
                    image = {"path": path, "orig_name": "x.png", **metadata}
                    response = send(site, dependency, with_image(config, dependency, image))
                    assert '"success":true' not in response or "no longer kept" in response, (
                        dependency["api_name"], kind, metadata, response[:300],
                    )  # fmt: skip
                    assert "base64" not in response
                    responses[kind] = json.dumps(outputs_and_errors(response)).replace(path, "PATH")
                if metadata != FORGED:  # Gradio refuses these itself, and its message has the path
                    assert responses["existing"] == responses["missing"] == responses["link"]
    finally:
        link.unlink()
        linked_folder.unlink()
    assert site.runs == before


def test_the_call_api_does_not_read_a_file_of_the_machine(site, secret):
    """The request that read any image of the machine in the first release."""
    body = {"data": [{"path": str(secret)}, ["dog"], "demo", "clip_surgery", "text", 0]}
    url = f"{site.address}gradio_api/call/figure"
    response = httpx.post(url, json=body)
    assert response.status_code == 200
    events = httpx.get(f"{url}/{response.json()['event_id']}", timeout=60).text
    assert "event: error" in events
    assert "no longer kept by the page" in events
    assert str(secret) not in events


def test_values_of_other_types_get_a_message(site, config):
    for dependency in config["dependencies"]:
        if not dependency["backend_fn"]:
            continue
        kinds = [component["type"] for component in inputs_of(config, dependency)]
        for value in HOSTILE_VALUES:
            response = send(site, dependency, [value] * len(kinds))
            assert "Traceback" not in response
            assert "The server failed" not in response, (dependency["api_name"], kinds, value)
    assert httpx.get(site.address).status_code == 200


def test_requests_without_the_expected_fields_do_not_break_the_server(site):
    for body in ({}, {"data": None}, {"data": {}}, {"data": []}, {"fn_index": 10**6, "data": []}):
        for path in ("queue/join", "call/explain", "run/explain", "api/explain"):
            response = httpx.post(f"{site.address}gradio_api/{path}", content=json.dumps(body))
            assert response.status_code < 600
            assert str(site.temporary) not in response.text
    assert httpx.get(site.address).status_code == 200
