"""`clip-surgery page`: serve the web page, by default to this machine only."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.method_options import PresetName, PresetOption
from clip_surgery.apps.cli.shared.model_options import MODEL, Precision
from clip_surgery.apps.cli.shared.segmenter_option import SEGMENTER_HELP, load_named_segmenter
from clip_surgery.errors import InputError

SERVER, LIMITS = "Server", "Limits"  # headings of the help


def page(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m",
            help="CLIP model that visitors may choose; may be repeated. Default: the bundled demo.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(help=SEGMENTER_HELP, rich_help_panel=MODEL),
    ] = None,
    companion: Annotated[
        str | None,
        typer.Option(
            help="Image model without texts for methods such as proxy_clip: timm:NAME or a folder.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    preset: PresetOption = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MODEL)
    ] = "auto",
    dtype: Annotated[
        Precision, typer.Option(help="Type of the weights.", rich_help_panel=MODEL)
    ] = Precision.FLOAT32,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 allows other machines to connect.",
            rich_help_panel=SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 takes any free port.", rich_help_panel=SERVER)
    ] = 7860,
    max_mb: Annotated[
        int, typer.Option(min=1, help="Largest file in MB.", rich_help_panel=LIMITS)
    ] = 20,
    max_megapixels: Annotated[
        int,
        typer.Option(min=1, help="Largest image in millions of pixels.", rich_help_panel=LIMITS),
    ] = 50,
    max_patches: Annotated[
        int,
        typer.Option(
            min=1, help="Largest number of patches of an image in the model.",
            rich_help_panel=LIMITS,
        ),
    ] = 1024,
    max_seconds: Annotated[
        int,
        typer.Option(
            min=1, help="Longest time in the model of one request.", rich_help_panel=LIMITS
        ),
    ] = 60,
    max_waiting: Annotated[
        int,
        typer.Option(
            min=1, help="Largest number of requests that wait.", rich_help_panel=LIMITS
        ),
    ] = 32,
    keep_minutes: Annotated[
        int,
        typer.Option(
            min=1, help="How long an image and its result are kept.", rich_help_panel=LIMITS
        ),
    ] = 30,
) -> None:  # fmt: skip
    """Serve the web page, on which visitors explain images for texts.

    clip-surgery page --model demo --port 7860

    By default, only this machine can connect (see --host). The page fetches nothing from the
    network.
    """
    import signal
    import threading

    from clip_surgery.apps.page.serving import require_gradio

    require_gradio()
    if preset is PresetName.BEST:
        raise InputError("The page has no preset best, because its tab Masks uses SAM.")
    from clip_surgery.apps.page.actions import Actions
    from clip_surgery.apps.page.limits import Limits
    from clip_surgery.apps.page.model_choices import ModelChoices
    from clip_surgery.apps.page.serving import serving
    from clip_surgery.loading import load

    limits = Limits(
        file_mb=max_mb,
        megapixels=max_megapixels,
        patches=max_patches,
        seconds=max_seconds,
        waiting=max_waiting,
        minutes=keep_minutes,
    )
    explainers = []
    for name in model or ["demo"]:
        with console.status(f"loading {name}"):
            explainer = load(
                name, device=device, dtype=dtype.value, companion=companion, preset=preset
            )
            explainer.encode(["word"])  # Encode the reference words before the first visit.
            explainers.append(explainer)
    loaded_segmenter = None if segmenter is None else load_named_segmenter(segmenter, device)
    actions = Actions(
        models=ModelChoices.of(explainers), limits=limits, segmenter=loaded_segmenter, preset=preset
    )
    with serving(actions, host=host, port=port or None) as address:
        console.result(f"page at {address} (Ctrl+C ends it)")
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        with suppress(KeyboardInterrupt):
            ended.wait()
