"""Run the notebooks of docs/notebooks and store them with their outputs.

    python docs/run_notebooks.py                              all notebooks
    python docs/run_notebooks.py docs/notebooks/first-maps.ipynb

GitHub shows the stored outputs, so that a reader sees the results without running anything. The
outputs contain no times, no paths and no state of the machine, and images are stored small.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

NOTEBOOKS = Path(__file__).parent / "notebooks"
MAX_BYTES = 1_500_000
"""Largest permitted size of a notebook with its outputs."""
MAX_WIDTH = 900
"""Width in pixels that stored images are reduced to."""

# A folder below the root or a home folder, at the start of a word: /home/..., C:\..., ~/...
ABSOLUTE_PATH = re.compile(r"(?<![\w.<:/])(/(?!/)[\w.-]+/[\w.-]+|[A-Za-z]:\\|~/)")


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Return the notebook with the outputs of a run from top to bottom.

    Args:
        notebook: the notebook; its own outputs are ignored, and it is not changed.
        folder: working folder of the kernel, which also receives the cache of texts.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell raises an exception.
    """
    result = nbformat.from_dict(notebook)
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # a progress bar without its widgets
    }
    client = NotebookClient(
        result,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute(env=environment)
    result.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in result.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = joined_prints(cell.outputs)
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/jpeg", None)  # the same image again
                output.data["image/png"] = small_png(output.data["image/png"])
    return result


def joined_prints(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return the outputs with consecutive printed texts joined; their division is chance."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last is not None and "name" in output and output.name == last.get("name"):
            last.text += output.text
        else:
            joined.append(output)
    return joined


def small_png(encoded: str) -> str:
    """Return a base64-encoded PNG, reduced to MAX_WIDTH columns if it has more."""
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        drawing = image.convert("RGB")
    if drawing.width > MAX_WIDTH:
        height = round(drawing.height * MAX_WIDTH / drawing.width)
        drawing = drawing.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def faults(path: Path) -> list[str]:
    """Return what is wrong with the outputs of a stored notebook, one sentence per fault."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    sentences = []
    if not outputs:
        sentences.append("The notebook has no outputs.")
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        sentences.append("The cells were not run once each from top to bottom.")
    if any(output.output_type == "error" for output in outputs):
        sentences.append("A cell ended with an error.")
    if any(output.get("name") == "stderr" for output in outputs):
        sentences.append("A cell wrote to the standard error stream.")
    if any(cell.metadata for cell in notebook.cells) or set(notebook.metadata) != {
        "kernelspec",
        "language_info",
    }:
        sentences.append("The metadata contain more than the language.")
    paths = [match[0] for text in texts_of(outputs) for match in ABSOLUTE_PATH.finditer(text)]
    if paths:
        sentences.append(f"An output contains an absolute path: {paths[0]}")
    if path.stat().st_size > MAX_BYTES:
        sentences.append(f"The file has more than {MAX_BYTES:,} bytes.")
    return sentences


def texts_of(outputs: list[NotebookNode]) -> list[str]:
    """Return the printed text and the plain and HTML text of values; images are left out."""
    texts = [output.get("text", "") for output in outputs]
    for output in outputs:
        data = output.get("data", {})
        texts += [data.get("text/plain", ""), data.get("text/html", "")]
    return [re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text) for text in texts]


def main() -> None:
    """Run the named notebooks, or all of them, and store each in place."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(nbformat.read(path, as_version=4), Path(folder))
        nbformat.write(notebook, path)
        for fault in faults(path):
            print(f"{path.name}: {fault}", file=sys.stderr)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
