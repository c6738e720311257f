"""The notebooks are stored with outputs, and run from top to bottom without a network."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def load_run_notebooks():
    """The module docs/run_notebooks.py, which is not part of a package."""
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "docs/run_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_notebooks = load_run_notebooks()


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def output_kinds(notebook):
    """For each code cell, the kind of every output."""
    return [
        [sorted(output.get("data", [output.output_type])) for output in cell.outputs]
        for cell in code_cells(notebook)
    ]


def test_there_are_two_notebooks():
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_with_clean_outputs(path):
    assert run_notebooks.faults(path) == [], "run `make notebooks`"
    cells = code_cells(nbformat.read(path, as_version=4))
    outputs = [output for cell in cells for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2, "images"
    assert any(output.output_type == "stream" for output in outputs), "printed numbers"


def stored_with(path, output):
    """Write a notebook with one code cell that has this output, as after a run."""
    cell = nbformat.v4.new_code_cell("1", execution_count=1, outputs=[output])
    notebook = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    )
    notebook.metadata["language_info"] = {"name": "python"}
    cell.metadata = nbformat.from_dict({})
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (nbformat.v4.new_output("stream", text="done"), None),
        (nbformat.v4.new_output("stream", text="written to /home/someone/x.png"), "absolute path"),
        (nbformat.v4.new_output("stream", text="read C:\\Users\\x.png"), "absolute path"),
        (nbformat.v4.new_output("stream", text="see https://arxiv.org/abs/2304.05653"), None),
        (nbformat.v4.new_output("stream", name="stderr", text="warning"), "error stream"),
        (nbformat.v4.new_output("error", ename="E", evalue="e"), "ended with an error"),
    ],
)
def test_faults_of_stored_outputs_are_named(tmp_path, output, fault):
    faults = run_notebooks.faults(stored_with(tmp_path / "a.ipynb", output))
    assert faults == [] if fault is None else len(faults) == 1 and fault in faults[0]


def test_a_notebook_without_outputs_is_a_fault(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert "The notebook has no outputs." in run_notebooks.faults(tmp_path / "a.ipynb")


# Sockets of a finished kernel are closed by the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_and_gives_the_kinds_of_outputs_that_are_stored(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    assert output_kinds(run_notebooks.run(stored, tmp_path)) == output_kinds(stored), (
        "run `make notebooks`"
    )
