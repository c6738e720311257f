"""What mkdocs does besides: pages that are files elsewhere, and the command line's own help.

Included Markdown is read here, before mkdocs looks at links, so that its links can be mended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# Where links of included files lead on the site; they are written as seen from their own folder.
MOVED = {
    "docs/methods.md": "methods.md",
    "docs/decisions": "decisions/README.md",
    "docs/findings.md": "findings.md",
    "docs/reproduce.md": "reproduce.md",
    "../docs/methods.md": "methods.md",
    "../docs/findings.md": "findings.md",
    "../docs/reproduce.md": "reproduce.md",
    "../benchmarks/RESULTS.md": "results.md",
}


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Bring in files from elsewhere, mend their links, and ask commands for their help."""
    root = Path(config["docs_dir"]).parent
    markdown = re.sub(
        r'^--8<-- "(?P<path>[^"]+\.md)"$',
        lambda found: (root / found["path"]).read_text(encoding="utf-8"),
        markdown,
        flags=re.MULTILINE,
    )
    for old, new in MOVED.items():
        markdown = markdown.replace(f"]({old})", f"]({new})")
    return re.sub(r"^\{help (?P<command>[a-z ]*)\}$", _help, markdown, flags=re.MULTILINE)


def _help(found: re.Match[str]) -> str:
    words = found["command"].split()
    command = [sys.executable, "-m", "clip_surgery", *words, "--help"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return f"```text\n{shown.stdout.strip()}\n```"
