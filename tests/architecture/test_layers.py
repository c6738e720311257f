"""The structure of the package: layers, heavy libraries, public names and import cycles."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import clip_surgery

ROOT = Path(clip_surgery.__file__).parent
# A module may import modules of its own layer and of lower ones.
LAYERS = {
    "errors": 0,
    "grid": 0,
    "framing": 0,
    "batch_splitting": 0,
    "deferred_tensor": 0,
    "plugins": 0,
    "storage": 1,
    "processes": 1,
    "inputs": 1,
    "explanation": 1,
    "explanation_parts": 1,
    "framed_images": 1,
    "presence_rule": 1,
    "presence_rule_files": 1,
    "presence_statistics": 1,
    "calibrated_presence": 1,
    "explanation_summary": 1,
    "word_explanation": 1,
    "backbones": 2,
    "segmenters": 2,
    "text": 3,
    "refinement": 4,
    "surgery": 4,
    "methods": 5,
    "evidence_rows": 6,
    "explainer": 6,
    "presets": 5,
    "settings": 6,
    "loading": 6,
    "blended_windows": 6,
    "stitched_windows": 6,
    "windows": 6,
    "tasks": 7,
    "records": 8,
    "figures": 9,
    "export": 9,
    "evaluation": 10,
    "audits": 10,
    "apps": 11,
    "batch": 12,
    "__main__": 11,
    "testing": 12,
}
# Each heavy library may only be imported by these modules or folders, and only when it is used.
HEAVY = {
    "open_clip": (
        "backbones/open_clip",
        "backbones/demo",
        "text/templates",
        "testing/tiny_models/open_clip",
        "testing/tiny_models/timm",
    ),
    "transformers": (
        "backbones/hugging_face",
        "segmenters/sam",
        "testing/tiny_models/hugging_face",
    ),
    "timm": (
        "backbones/timm",
        "testing/tiny_models/companions",
        "testing/tiny_models/timm",
    ),
    "matplotlib": ("figures/",),
    "gradio": ("apps/page/",),
    "ray": ("apps/batch/",),
    "pyarrow": ("apps/batch/",),
    "onnx": ("export/",),
    "onnxruntime": ("export/",),
    "pycocotools": ("evaluation/datasets/",),
    "supervision": ("records/instances",),
    "sklearn": ("audits/",),
    "torchvision": ("evaluation/datasets/",),
}
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imported_names(path):
    """Names of the modules that a file imports anywhere."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_its_own_layer_or_a_lower_one(path):
    top_level_name = path.with_suffix("").parts[0]
    if top_level_name == "__init__":
        return
    for name in imported_names(path):
        if name.startswith("clip_surgery."):
            assert LAYERS[name.split(".")[1]] <= LAYERS[top_level_name], f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_libraries_stay_in_their_folders(path):
    for name in imported_names(path):
        permitted = HEAVY.get(name.split(".")[0])
        if permitted is not None:
            assert str(path).startswith(permitted), f"{path} imports {name}"


def test_every_module_has_a_layer():
    top_level_names = {path.with_suffix("").parts[0] for path in MODULES} - {"__init__"}
    assert top_level_names == set(LAYERS)


def test_public_names_are_sorted_and_exist():
    assert clip_surgery.__all__ == sorted(clip_surgery.__all__)
    for name in clip_surgery.__all__:
        assert getattr(clip_surgery, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'heatmap'"):
        _ = clip_surgery.heatmap


def test_no_name_of_a_module_is_without_meaning():
    meaningless = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in MODULES if meaningless & set(path.with_suffix("").parts)]


def test_every_module_has_a_docstring():
    for path in MODULES:
        assert ast.get_docstring(ast.parse((ROOT / path).read_text())), f"{path}: no docstring"


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def module_name(path):
    """The dotted name of a file of the package."""
    return ".".join(("clip_surgery", *path.with_suffix("").parts)).removesuffix(".__init__")


def test_importing_the_package_loads_no_heavy_library():
    heavy = ["torch", "numpy", "PIL", "safetensors", *HEAVY]
    result = run_python(
        "import sys, clip_surgery; from clip_surgery.errors import InputError;"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.slow
def test_public_functions_load_no_model_library():
    result = run_python(
        "import sys, clip_surgery; clip_surgery.load; clip_surgery.heatmaps; clip_surgery.overlay;"
        f"print(sorted(set({[*HEAVY]!r}) & set(sys.modules)))"
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_command_line_modules_import_nothing_heavy():
    """So that `--help` is fast; the time itself is measured in benchmarks."""
    heavy = ["torch", "numpy", "PIL", *HEAVY]
    result = run_python(
        f"import sys, clip_surgery.apps.cli.main;print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


IMPORT_EACH_MODULE_ALONE = """
import gc, importlib, os, sys
# Libraries are loaded once, so that each child process only loads modules of this package.
libraries = "numpy PIL.Image torch scipy.ndimage typer rich gradio pyarrow open_clip timm"
for library in f"{libraries} transformers matplotlib.pyplot safetensors.torch platformdirs".split():
    try:
        importlib.import_module(library)
    except ImportError:
        pass  # an optional library that is not installed
gc.disable()  # or each child process searches the objects of all these libraries
failures = []
for name in sys.argv[1:]:
    assert not any(loaded.startswith("clip_surgery") for loaded in sys.modules)
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failures.append(name)
sys.exit(len(failures))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_each_module_can_be_imported_first():
    """Each module is imported by a process that has imported no other module of this package."""
    names = [module_name(path) for path in MODULES if path.stem != "__main__"]
    result = run_python(IMPORT_EACH_MODULE_ALONE, *names)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_modules_import_each_other_in_a_cycle():
    """Imports inside of functions count; those under `if TYPE_CHECKING` do not."""
    modules = {module_name(path): path for path in MODULES}
    graph = {name: imported_modules(path, modules) - {name} for name, path in modules.items()}
    assert not list(cycles(graph))


def imported_modules(path, modules):
    """Names of the modules of this package that a file imports anywhere."""
    tree = ast.parse((ROOT / path).read_text())
    for_types_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names & set(modules)


def cycles(graph):
    """Strongly connected components of more than one module, by two depth-first searches."""
    finished, seen = [], set()

    def visit(node, edges, collected):
        seen.add(node)
        for following in edges[node]:
            if following not in seen:
                visit(following, edges, collected)
        collected.append(node)

    for node in graph:
        if node not in seen:
            visit(node, graph, finished)
    backwards = {node: {other for other in graph if node in graph[other]} for node in graph}
    seen.clear()
    for node in reversed(finished):
        if node not in seen:
            component = []
            visit(node, backwards, component)
            if len(component) > 1:
                yield sorted(component)


def test_the_search_for_cycles_finds_one():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert list(cycles(graph)) == [["b", "c"]]


def test_no_test_depends_on_the_time_it_takes():
    """Speed is measured in benchmarks; a test that measures time would fail at random."""
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        if path != Path(__file__):
            assert "perf_counter" not in path.read_text(), path
