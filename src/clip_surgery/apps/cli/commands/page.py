"""`clip-surgery page`: the web page, on this machine unless told otherwise."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.options import MODEL, Precision

SERVER, LIMITS = "Server", "Limits"  # headings of the help


def page(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m",
            help="Which CLIP, may be repeated: visitors choose; the bundled demo if none is given.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="A SAM or SAM 2 model that cuts objects out: its name on the hub, or a folder.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MODEL)
    ] = "auto",
    dtype: Annotated[
        Precision, typer.Option(help="Type of the weights.", rich_help_panel=MODEL)
    ] = Precision.FLOAT32,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 lets other machines in.", rich_help_panel=SERVER
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes any free.", rich_help_panel=SERVER)
    ] = 7860,
    max_mb: Annotated[
        int, typer.Option(min=1, help="Largest file, in MB.", rich_help_panel=LIMITS)
    ] = 20,
    max_megapixels: Annotated[
        int,
        typer.Option(min=1, help="Largest image, in millions of pixels.", rich_help_panel=LIMITS),
    ] = 50,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests that wait at most.", rich_help_panel=LIMITS)
    ] = 32,
    keep_minutes: Annotated[
        int,
        typer.Option(
            min=1, help="How long an image and its answer are kept.", rich_help_panel=LIMITS
        ),
    ] = 30,
) -> None:  # fmt: skip
    """Open the web page: images and words in a browser.

    clip-surgery page --model demo --port 7860

    It listens on this machine alone unless --host says otherwise, and asks nothing of the network.
    """
    import signal
    import threading

    from clip_surgery.apps.page.serving import require_gradio

    require_gradio()
    from clip_surgery.apps.page.actions import Actions
    from clip_surgery.apps.page.limits import Limits
    from clip_surgery.apps.page.model_choices import ModelChoices
    from clip_surgery.apps.page.serving import serving
    from clip_surgery.loading import load

    limits = Limits(
        file_mb=max_mb, megapixels=max_megapixels, waiting=max_waiting, minutes=keep_minutes
    )
    explainers = []
    for name in model or ["demo"]:
        with console.status(f"loading {name}"):
            explainer = load(name, device=device, dtype=dtype.value, vocabulary="common")
            explainer.encode(["word"])  # the reference words now, not with the first visitor
            explainers.append(explainer)
    cutter = None
    if segmenter is not None:
        with console.status(f"loading {segmenter}"):
            from clip_surgery.segmenters.sam import SamSegmenter

            cutter = SamSegmenter.load(segmenter, device=device)
    actions = Actions(offers=ModelChoices.of(explainers), limits=limits, segmenter=cutter)
    with serving(actions, host=host, port=port or None) as address:
        console.results().print(f"page at {address} (Ctrl+C ends it)", soft_wrap=True, markup=False)
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        with suppress(KeyboardInterrupt):
            ended.wait()
