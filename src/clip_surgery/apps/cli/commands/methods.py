"""`clip-surgery methods`: the methods that --method accepts."""

from __future__ import annotations

from clip_surgery.apps.cli.shared import console


def methods() -> None:
    """List the methods, their papers, and their settings."""
    from rich.table import Table

    from clip_surgery.apps.cli.shared.method_settings import default_settings
    from clip_surgery.methods.registry import METHODS

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    table.add_column("method", no_wrap=True)
    table.add_column("paper")
    table.add_column("gradient")
    table.add_column("settings, given as in 'clip_surgery(depth=8)'")
    for name, cls in METHODS.items():
        settings = [f"{key}={value}" for key, value in default_settings(cls).items()]
        gradient = "yes" if cls.needs_gradient else "no"
        table.add_row(name, cls.paper, gradient, "\n".join(settings))
    console.results().print(table)
