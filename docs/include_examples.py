"""Write the programs of docs/examples into the pages that show them.

A page shows a program in a code block whose title is the program's path:

    ```python title="docs/examples/heatmaps.py"

`python docs/include_examples.py` replaces the content of every such block with the content of
the file. A test checks that nothing is left to replace, so pages and programs cannot differ.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r'(?P<opening>^```python title="(?P<path>[^"\n]+)"\n)(?P<code>.*?)(?P<closing>^```$)',
    flags=re.MULTILINE | re.DOTALL,
)


def with_current_code(markdown: str, root: Path = ROOT) -> str:
    """Return the page with the content of every titled code block read from its file."""

    def replaced(block: re.Match[str]) -> str:
        code = (root / block["path"]).read_text(encoding="utf-8")
        return f"{block['opening']}{code}{block['closing']}"

    return BLOCK.sub(replaced, markdown)


def pages() -> list[Path]:
    """Return all Markdown pages that may show a program."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main() -> None:
    """Update every page in place."""
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = with_current_code(old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"updated {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
