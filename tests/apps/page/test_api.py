"""The API of the page, called by gradio_client."""

import threading

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from clip_surgery.records.mask_files import decode_rle
from clip_surgery.tasks.match import explain_match
from tests.apps.page.api_clients import HTTP, gradio_client, gradio_clients

TEXTS = ["car", "pig", "dog"]
# gradio_client leaves its sockets to the garbage collector
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    api_client = gradio_client(site.address, download_files=str(folder))
    yield api_client
    api_client.close()


@pytest.fixture
def scene_file(image_files):
    return handle_file(image_files / "scene.png")


def test_names_are_those_of_the_documentation(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {
        *("/models", "/explain", "/maps", "/figure", "/points"),
        *("/tags", "/words", "/match", "/attention", "/segment", "/masks"),
    }


def test_models(client, model_choices):
    assert client.predict(api_name="/models") == {"demo": list(model_choices.first.methods)}


def test_explain_equals_the_library(client, scene_file, scene, explainer):
    result = client.predict(scene_file, TEXTS, api_name="/explain")
    expected = explainer([scene.image], TEXTS)
    assert result["image"] == "scene.png"
    assert result["size"] == {"height": 320, "width": 320}
    scores = [text["score"] for text in result["texts"]]
    np.testing.assert_allclose(scores, expected.image_scores[0], atol=1e-5)
    maps = client.predict(scene_file, TEXTS, api_name="/maps")["maps"]
    np.testing.assert_allclose(maps["pig"], expected.patch_scores[0][1], atol=1e-5)
    other = client.predict(scene_file, TEXTS, "demo", "similarity", api_name="/maps")["maps"]
    assert not np.allclose(other["pig"], maps["pig"])


def test_points_segments_masks_and_attention(client, scene_file):
    objects = client.predict(scene_file, TEXTS, min_presence=0.5, api_name="/points")["objects"]
    assert [item["texts"] for item in objects] == [["car"], ["pig"], ["dog"]]
    assert 1 in objects[0]["labels"]
    assert objects[2]["labels"] == []  # there is no dog
    segments = client.predict(scene_file, TEXTS, api_name="/segment")["classes"]
    assert sum(decode_rle(segment["segmentation"]).sum() for segment in segments) == 320 * 320
    masks = client.predict(scene_file, TEXTS, api_name="/masks")["masks"]
    assert decode_rle(masks[0]["segmentation"])[:, :160].all()
    attention = client.predict(scene_file, 100, 50, api_name="/attention")
    assert [attention_map["kind"] for attention_map in attention] == ["q-k", "v-v"]
    assert attention[0]["patch"] == [1, 3]


def test_tags_and_words(client, scene_file, model_choices):
    tags = client.predict(scene_file, top=5, api_name="/tags")["tags"]
    assert len(tags) == 5
    assert tags[0]["text"] in model_choices.first.suggested_texts
    assert len(client.predict(scene_file, TEXTS, api_name="/tags")["tags"]) == 3
    words = client.predict(scene_file, "a pig and a car", api_name="/words")
    assert words["sentence"] == "a pig and a car"


def test_match_of_texts_and_of_images(client, scene_file, scene, explainer, image_files):
    text = client.predict(scene_file, "a car", "a dog", api_name="/match")
    expected = explain_match(explainer, "a car", scene.image, "a dog")
    np.testing.assert_allclose(text["margin"]["patches"], expected.margin_scores(), atol=1e-5)
    assert text["image"] == "scene.png"
    assert [word["text"] for word in text["words"]] == ["a", "car"]
    red = handle_file(image_files / "red.png")
    images = client.predict(scene_file, like=scene_file, rival_image=red, api_name="/match")
    assert images["similarity"]["total"] == pytest.approx(1, abs=1e-4)
    assert (images["query"], images["rival"]) == ("scene.png", "red.png")
    assert images["margin"]["total"] > 0
    for name, reason in (("broken.png", "not an image"), ("large.png", "over the limit")):
        bad = handle_file(image_files / name)
        for images in ({"like": bad}, {"text": "a car", "rival_image": bad}):
            with pytest.raises(AppError, match=rf"{name}: .*{reason}"):
                client.predict(scene_file, **images, api_name="/match")
    with pytest.raises(AppError, match="Type a sentence"):
        client.predict(scene_file, api_name="/match")


def test_figure_is_an_image(client, scene_file):
    path = client.predict(scene_file, TEXTS, contrast="presence", api_name="/figure")
    with Image.open(path) as figure:
        assert figure.format == "PNG"
        assert figure.width > 600


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("broken.png", {"texts": TEXTS}, "broken.png: not an image, or not readable"),
        ("large.png", {"texts": TEXTS}, "large.png: 1100 x 1000 px is over the limit of 1,000,000"),
        ("red.png", {"texts": []}, "Type at least one text"),
        ("red.png", {"texts": list("abcdefghi")}, "at most 8 texts at once, but got 9"),
        ("red.png", {"texts": {"a": 1}}, "Expected a list of texts, but got dict"),
        ("red.png", {"texts": [1, 2]}, "Expected"),
        ("red.png", {"texts": ["a" * 301]}, "at most 300 characters"),
        ("red.png", {"texts": TEXTS, "model": "dmo"}, "Unknown model 'dmo'. Did you mean 'demo'"),
        ("red.png", {"texts": TEXTS, "method": "gme"}, "Unknown method 'gme'. Did you mean 'gem'"),
    ],
)
def test_messages(client, image_files, name, arguments, reason):
    with pytest.raises(AppError) as raised:
        client.predict(handle_file(image_files / name), **arguments, api_name="/explain")
    message = str(raised.value)
    assert reason in message
    assert "\n" not in message
    assert str(image_files) not in message


def send(client, site, name, *data):
    """Send a request that gradio_client would not send, and return the response of the server."""
    [number] = [
        dependency["id"]
        for dependency in client.config["dependencies"]
        if dependency["api_name"] == name
    ]
    request = {"data": data, "fn_index": number, "session_hash": "forged"}
    joined = HTTP.post(f"{site.address}gradio_api/queue/join", json=request)
    assert joined.status_code == 200, joined.text
    url = f"{site.address}gradio_api/queue/data?session_hash=forged"
    return HTTP.get(url, timeout=30).text


@pytest.mark.parametrize(
    "path", ["/etc/passwd", __file__, "http://127.0.0.1:9/x.png", "https://example.org/x.png"]
)
def test_files_of_the_machine_and_links_are_refused(client, site, path):
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "x.png"}
    before = site.runs
    message = "uploaded, not fetched" if path.startswith("http") else "no longer kept by the page"
    for data, reason in (
        ([sent, TEXTS, "demo", "clip_surgery"], message),
        ([None, [sent], "demo", "clip_surgery"], "Choose an image first"),
    ):
        response = send(client, site, "explain", *data)
        assert '"success":false' in response
        assert reason in response
        assert "root:" not in response
        assert path not in response
    assert site.runs == before


def test_files_are_not_served(site):
    for path in ("/etc/passwd", __file__, "pyproject.toml"):
        response = HTTP.get(f"{site.address}gradio_api/file={path}")
        assert response.status_code in (403, 404), path


def test_a_file_over_the_limit_is_refused(site, tmp_path):
    (tmp_path / "huge.png").write_bytes(bytes(1_100_000))
    with (tmp_path / "huge.png").open("rb") as file:
        response = HTTP.post(f"{site.address}gradio_api/upload", files={"files": file})
    assert response.status_code == 413
    assert "exceeded" in response.text


def test_requests_beyond_the_queue_are_refused_and_the_others_get_results(site, image_files):
    clients = gradio_clients(site.address, 12)
    barrier = threading.Barrier(len(clients))
    outcomes = []

    def request_masks(client):
        barrier.wait()
        try:
            file = handle_file(image_files / "scene.png")
            outcomes.append(len(client.predict(file, ["car", "pig"], api_name="/masks")["masks"]))
        except Exception as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=request_masks, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    results = [outcome for outcome in outcomes if outcome == 2]
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(results) >= 4
    assert refused
    assert all("full" in message.lower() for message in refused), refused
