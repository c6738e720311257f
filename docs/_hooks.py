"""Hooks of the documentation site: included pages, the help of commands, and the demo to try.

Some pages of the site are files outside `docs/`, such as the changelog. In `docs/` each of them is
one line with a link, which is what GitHub shows; on the site the page is the file itself.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# Page of the site: file of the repository that is shown there.
FILES = {
    "results.md": "benchmarks/RESULTS.md",
    "changes.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
# Links that lead to those files, and where they lead on the site.
LINKS = {
    "../benchmarks/RESULTS.md": "results.md",
    "docs/decisions": "docs/decisions/README.md",
}
# A link from a file outside of docs/ to a file in docs/, such as ](../docs/methods.md#towers).
INTO_DOCS = re.compile(r"\]\((?:\.\./)?docs/")

# The exported page of the demo model, which `make site` writes, and how the home page shows it.
DEMO = Path(__file__).parents[1] / "build" / "demo"
DEMO_MARK = "{demo}"
DEMO_FRAME = (
    '<iframe class="demo" src="demo/index.html" loading="lazy" allow="camera" '
    'title="Try it: the demo model, in this browser"></iframe>'
)

# A cell of a table with more than 40 characters of HTML.
LONG_CELL = re.compile(r"<td>(?=(?:(?!</td>).){41})")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the Markdown of a page with included files and command help in place."""
    if page.file.src_uri in FILES:
        root = Path(config["docs_dir"]).parent
        markdown = (root / FILES[page.file.src_uri]).read_text(encoding="utf-8")
    for old, new in LINKS.items():
        markdown = markdown.replace(f"]({old})", f"]({new})")
    markdown = markdown.replace(DEMO_MARK, DEMO_FRAME if (DEMO / "index.html").is_file() else "")
    markdown = INTO_DOCS.sub("](", markdown)
    return re.sub(r"^\{help (?P<command>[a-z -]*)\}$", _command_help, markdown, flags=re.MULTILINE)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Return the HTML of a page with the class `long` on the cells that hold much text."""
    return LONG_CELL.sub('<td class="long">', html)


def on_post_build(config: Any) -> None:
    """Copy the exported page of the demo model into the site, if it was written."""
    if (DEMO / "index.html").is_file():
        shutil.copytree(DEMO, Path(config["site_dir"]) / "demo", dirs_exist_ok=True)


def _command_help(match: re.Match[str]) -> str:
    """Return the help text of the command that is named in a line such as `{help explain}`."""
    command = [sys.executable, "-m", "clip_surgery", *match["command"].split(), "--help"]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return f"```text\n{result.stdout.strip()}\n```"
