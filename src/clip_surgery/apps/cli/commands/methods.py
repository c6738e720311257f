"""`clip-surgery methods`: the methods that --method accepts, the presets, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from clip_surgery.methods.costs import MeasuredCosts


def methods(
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure the cost on this machine, with --model."),
    ] = False,
    model: Annotated[str, typer.Option("--model", "-m", help="CLIP model for --measure.")] = "demo",
    companion: Annotated[
        str | None,
        typer.Option(help="Companion for --measure, such as timm:vit_base_patch16_224.dino."),
    ] = None,
) -> None:
    """List the methods, their papers, cost and settings, and the presets of segmentation.

    The cost is the time beside the plain forward pass of the image tower, which is 1.
    """
    from clip_surgery.methods.costs import measured_costs

    costs = measure_here(model, companion) if measure else measured_costs()
    console.results().print(table_of_methods(costs.ratios))
    console.results().print(table_of_presets(costs.ratios))
    console.result(f"cost: {costs.source}")


def measure_here(model: str, companion: str | None) -> MeasuredCosts:
    """Return the costs of all methods and presets on this machine, and what was measured."""
    from clip_surgery.loading import load
    from clip_surgery.methods.costs import TEXTS, MeasuredCosts, measure_costs
    from clip_surgery.methods.registry import METHODS, parse_methods

    with console.status(f"loading {model}"):
        backbone = load(model, companion=companion).backbone
    chosen = parse_methods(",".join([*METHODS, *preset_methods()]))
    with console.status("measuring"):
        ratios = measure_costs(backbone, chosen)
    source = f"{backbone.name}, {backbone.image_size} px, {TEXTS} texts, on this machine"
    return MeasuredCosts(source=source, ratios=ratios)


def preset_methods() -> list[str]:
    """Return the method of each preset with its refinement, as on the command line."""
    from clip_surgery.presets import PRESETS

    return list(dict.fromkeys(preset.refined_method for preset in PRESETS.values()))


def table_of_methods(ratios: Mapping[str, float]) -> Table:
    """Return the table of all methods; the time of a segmenter is not part of the cost."""
    from rich.table import Table

    from clip_surgery.apps.cli.shared.method_settings import default_settings
    from clip_surgery.methods.registry import METHODS

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("paper")
    table.add_column("gradient")
    table.add_column("cost", justify="right")
    table.add_column("settings, given as in 'clip_surgery(depth=8)'")
    for name, cls in METHODS.items():
        settings = [f"{key}={value}" for key, value in default_settings(cls).items()]
        gradient = "yes" if cls.needs_gradient else "no"
        ratio = cost(ratios.get(name))
        if "segmenter" in getattr(cls, "needs", ()):
            ratio = f"{ratio} and SAM"
        table.add_row(name, cls.paper, gradient, ratio, "\n".join(settings))
    return table


def table_of_presets(ratios: Mapping[str, float]) -> Table:
    """Return the table of all presets; the time of a segmenter is not part of the cost."""
    from rich.table import Table

    from clip_surgery.presets import PRESETS

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    for column in ("preset", "what it does", "cost"):
        table.add_column(column, justify="right" if column == "cost" else "left")
    for name, preset in PRESETS.items():
        ratio = cost(ratios.get(preset.refined_method))
        table.add_row(name, preset.summary, f"{ratio} and SAM" if preset.redraws else ratio)
    return table


def cost(ratio: float | None) -> str:
    """Return a ratio of times for a table; a dash if it was not measured.

    Example:
        >>> cost(1.049), cost(None)
        ('1.05', '-')
    """
    return "-" if ratio is None else f"{ratio:.2f}"
