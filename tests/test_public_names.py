"""Everything that a program needs comes from `clip_surgery`, and importing it stays cheap."""

import subprocess
import sys

import pytest

import clip_surgery

PROGRAMS = [
    *("Dataset", "Sample", "evaluate", "Protocol", "Report", "Method", "Segmenter"),
    *("Job", "TaskSettings", "LocalEngine", "RayEngine", "open_source", "ExplainerSettings"),
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_names_that_programs_need_are_public(name):
    assert name in clip_surgery.__all__
    assert getattr(clip_surgery, name).__name__ == name


def test_public_names_are_sorted_and_importing_the_package_imports_no_torch():
    assert clip_surgery.__all__ == sorted(set(clip_surgery.__all__))
    code = "import sys, clip_surgery; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
