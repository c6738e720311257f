"""The pages of the documentation show code that exists, and show it on GitHub too."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import clip_surgery

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks/RESULTS.md",
    ROOT / "training/README.md",
]
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.py"))


def docs_module(name):
    """Import a module of the folder docs, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def include_examples():
    return docs_module("include_examples")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_current_code_of_its_examples(page):
    markdown = page.read_text(encoding="utf-8")
    assert include_examples().with_current_code(markdown) == markdown, (
        f"{page.name} differs from its example; run `python docs/include_examples.py`"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_needs_a_preprocessor_to_show_its_code(page):
    markdown = page.read_text(encoding="utf-8")
    assert not re.search(r"--8\s*<", markdown), "an include that GitHub does not resolve"
    fences = re.findall(r"^```", markdown, flags=re.MULTILINE)
    assert len(fences) % 2 == 0, "a code block is not closed"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_shown_on_a_page(example):
    title = f'title="docs/examples/{example.name}"'
    assert any(title in page.read_text(encoding="utf-8") for page in PAGES)


def test_the_block_of_an_example_is_replaced(tmp_path):
    (tmp_path / "a.py").write_text("print(1)\n")
    page = 'Text.\n\n```python title="a.py"\nold\n```\n\nMore.\n'
    shown = include_examples().with_current_code(page, tmp_path)
    assert shown == 'Text.\n\n```python title="a.py"\nprint(1)\n```\n\nMore.\n'


@pytest.mark.parametrize("page", [*PAGES, *OTHER_PAGES], ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    markdown = page.read_text(encoding="utf-8")
    named = re.findall(r"`(?:python )?((?:tests|benchmarks|training|docs)/[\w./-]+)", markdown)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_findings_page_is_what_its_generator_writes():
    record = json.loads((ROOT / "docs/findings.json").read_text(encoding="utf-8"))
    written = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    assert docs_module("findings_page").page(record) == written, (
        "run `python docs/make_findings.py --write-only`"
    )


def test_the_reference_lists_every_public_name():
    page = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^::: clip_surgery\.(\w+)$", page, flags=re.MULTILINE))
    errors = {name for name in clip_surgery.__all__ if name.endswith(("Error", "Warning"))}
    assert "errors" in listed  # the module, which contains all errors
    assert set(clip_surgery.__all__) - errors - listed == set()


def test_every_decision_is_in_its_list_and_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs/decisions").glob("0*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in index
        assert f"decisions/{page.name}" in navigation
