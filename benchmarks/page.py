"""Requests per second and waiting time of the page, for 1, 4 and 16 visitors at once.

Run `python benchmarks/page.py`. The page serves the demo model in a separate process. Each visitor
is a gradio_client that uploads a scene and calls "/explain" with three words, again and again. The
time includes the upload but not the connection. Requests that are refused because the queue is full
are counted.

With `--in-process`, the work of one request "/explain" is measured instead, without HTTP: processor
time of reading the image, the explanation and the record, and of the model's own forward pass.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gradio_client import Client, handle_file
from timing import machine

from clip_surgery.evaluation.datasets.scenes import SceneDataset

WORDS = ["car", "pig", "dog"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--in-process", action="store_true", help="work of one request, no HTTP")
    options = parser.parse_args()
    if options.in_process:
        show_request(options.model)
        return
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "scene.png"
        SceneDataset(seed=31, count=11, size=480)[10].image.save(picture)
        process, address = serve(options.model)
        try:
            load(address, picture, visitors=1, seconds=3)  # the first requests fill caches
            print(f"{options.model}; {machine()}\n")
            print("| visitors | requests/s | p50 ms | p95 ms | refused |\n" + "| --- " * 5 + "|")
            for visitors in options.visitors:
                times, refused, lasted = load(address, picture, visitors, options.seconds)
                cuts = statistics.quantiles(times, n=20)
                middle = 1000 * statistics.median(times)
                rate = len(times) / lasted
                print(
                    f"| {visitors} | {rate:.1f} | {middle:.0f} | {1000 * cuts[18]:.0f} "
                    f"| {refused} |"
                )
        finally:
            process.terminate()
            process.wait()


def show_request(model: str) -> None:
    """Print the processor time of the steps of a request, in ms and relative to the model."""
    import torch

    from clip_surgery.apps.page.actions import Actions
    from clip_surgery.apps.page.model_choices import ModelChoices
    from clip_surgery.apps.page.results import record
    from clip_surgery.apps.page.tabs.maps import maps_view
    from clip_surgery.loading import load as load_model
    from clip_surgery.surgery.walk import walk

    explainer = load_model(model, vocabulary="small")
    actions = Actions(models=ModelChoices.of([explainer]))
    file = io.BytesIO()
    SceneDataset(seed=31, count=11, size=480)[10].image.save(file, "PNG")
    image = actions.prepare_image(file.getvalue())
    session = actions.explain(image, WORDS, model, "clip_surgery")
    pixels = explainer.pixels(image)

    def forward() -> None:
        with torch.no_grad():
            walk(explainer.backbone.tower, pixels)

    calls = {
        "forward pass of the model": forward,
        "read the image": lambda: actions.prepare_image(file.getvalue()),
        "explain": lambda: actions.explain(image, WORDS, model, "clip_surgery"),
        "record": lambda: record(session.explanation),
        "view of the maps": lambda: maps_view(session, "text"),
    }
    # The steps take turns, so that other programs disturb all of them alike.
    rounds = [{name: processor_seconds(call) for name, call in calls.items()} for _ in range(25)]
    times = {name: min(times[name] for times in rounds) for name in calls}
    print("| step | CPU ms | forward passes |\n| --- | --- | --- |")
    for name, spent in times.items():
        print(f"| {name} | {1000 * spent:.1f} | {spent / times['forward pass of the model']:.2f} |")


def processor_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of one call, of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def serve(model: str) -> tuple[subprocess.Popen[str], str]:
    """Start the page and return its process and address."""
    command = "from clip_surgery.apps.cli.main import run; run()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "page", "--model", model, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
    )
    assert process.stdout is not None
    return process, process.stdout.readline().split()[2]


def load(
    address: str, picture: Path, visitors: int, seconds: float
) -> tuple[list[float], int, float]:
    """Return the seconds of all answered requests, the number of refused ones, and the duration."""
    clients = [Client(address, verbose=False) for _ in range(visitors)]
    times: list[float] = []
    refused: list[str] = []
    start = time.perf_counter()

    def visit(client: Client) -> None:
        while time.perf_counter() < start + seconds:
            asked = time.perf_counter()
            try:
                client.predict(handle_file(picture), WORDS, api_name="/explain")
            except Exception as error:  # told apart by what is printed
                refused.append(str(error))
            else:
                times.append(time.perf_counter() - asked)

    threads = [threading.Thread(target=visit, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted = time.perf_counter() - start
    for client in clients:
        client.close()
    for reason in sorted(set(refused)):
        print(f"refused: {reason}", file=sys.stderr)
    return times, len(refused), lasted


if __name__ == "__main__":
    main()
