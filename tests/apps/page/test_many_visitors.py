"""Sixteen visitors at once are all served by a page with its default settings."""

import os
import subprocess
import sys
import threading

import pytest
from gradio_client import handle_file

from tests.apps.page.api_clients import gradio_clients

VISITORS = 16
# gradio_client leaves its sockets to the garbage collector
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def default_page(tmp_path):
    """Address of a page that was started by its command without options but the port."""
    command = "from clip_surgery.apps.cli.main import run; run()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "page", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLIP_SURGERY_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
    ) as process:
        yield process.stdout.readline().split()[2]
        process.terminate()


def test_sixteen_visitors_are_served_without_a_refusal(default_page, image_files):
    clients = gradio_clients(default_page, VISITORS, httpx_kwargs={"timeout": 120})
    barrier = threading.Barrier(VISITORS)
    outcomes = []

    def visit(number):
        try:
            barrier.wait()
            texts = ["car", "pig", f"text {number}"]
            file = handle_file(image_files / "scene.png")
            for name in ("/explain", "/points"):
                outcomes.append(clients[number].predict(file, texts, api_name=name)["image"])
        except Exception as error:
            outcomes.append(repr(error))

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert outcomes == ["scene.png"] * (2 * VISITORS)
