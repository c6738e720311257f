"""The wheel and the sdist: what they hold, and that they work in an environment of their own.

The last needs several GB and minutes, so it runs where CLIP_SURGERY_CI is set (`.ci/run` does).
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What an extra's packages are called when they are imported, where that is another name.
MODULES = {"ray[data]": "ray.data", "scikit-learn": "sklearn"}
LARGE = re.compile(r"(torch|triton|nvidia-.+|cuda-.+)$")
needs_ci = pytest.mark.skipif(
    "CLIP_SURGERY_CI" not in os.environ,
    reason="builds and installs the package with all it needs: set CLIP_SURGERY_CI=1",
)


def run(*command, cwd):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_wheel(names):
    package = "clip_surgery/"
    assert f"{package}backbones/demo/model.safetensors" in names
    assert any(name.startswith(f"{package}evaluation/datasets/names/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    strangers = [
        name for name in names if not name.startswith((package, "clip_surgery-"))
    ]  # no tests, no training, no photographs
    assert not strangers
    assert f"{package}py.typed" in names


def check_sdist(names):
    inside = {name.partition("/")[2] for name in names}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/clip_surgery/__init__.py"} <= inside
    assert not [name for name in inside if name.startswith(("runs/", ".venv/", "site/", "out/"))]


def link_large_distributions(python):
    """Put torch and its CUDA libraries, of several GB, into an environment by links.

    Packages that are required are installed from the registry, so that a missing requirement is
    found; for torch, `check_wheel` looks at the requirements.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    there = Path(run(python, "-c", code, cwd=Path.cwd()).strip())
    for distribution in importlib.metadata.distributions():
        if not LARGE.match(distribution.name):
            continue
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            source = Path(str(distribution.locate_file(top)))
            if not (there / top).exists() and source.exists():
                (there / top).symlink_to(source)


@needs_ci
def test_wheel_and_sdist_work_in_a_clean_environment(tmp_path):
    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    [sdist] = (tmp_path / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        check_wheel(archive.namelist())
        [metadata] = [name for name in archive.namelist() if name.endswith("dist-info/METADATA")]
        assert re.search(r"^Requires-Dist: torch\b", archive.read(metadata).decode(), re.M)
    with tarfile.open(sdist) as archive:
        check_sdist(archive.getnames())

    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    link_large_distributions(python)
    extras = ",".join(PROJECT["optional-dependencies"])
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        f"{wheel}[{extras}]",
        cwd=tmp_path,
    )
    for extra, requirements in PROJECT["optional-dependencies"].items():
        for requirement in requirements:
            name = re.split(r"[<>=]", requirement)[0]
            module = MODULES.get(name, name)
            run(python, "-W", "ignore", "-c", f"import {module}", cwd=tmp_path)
        assert requirements, extra
    told = run(tmp_path / "env/bin/clip-surgery", "demo", "--out", "shown", cwd=tmp_path)
    assert "on it" in told
    assert (tmp_path / "shown/demo.png").stat().st_size > 10_000
    where = run(python, "-c", "import clip_surgery; print(clip_surgery.__file__)", cwd=tmp_path)
    assert str(tmp_path / "env") in where
