"""`clip-surgery evaluate` as a user runs it: scenes, a folder of images, a small VOC."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from clip_surgery.apps.cli.commands import evaluate as evaluate_command
from clip_surgery.apps.cli.commands.evaluate import DATASETS, PROTOCOLS
from clip_surgery.apps.cli.shared import evaluation_run, run_journal
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets import registry
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.datasets.subset import Subset
from clip_surgery.evaluation.execution import run as runner
from clip_surgery.evaluation.protocols import benchmarks
from clip_surgery.evaluation.protocols.registry import PROTOCOLS as REGISTERED
from clip_surgery.evaluation.reporting.report import load_reports
from tests.evaluation.datasets.small_trees import make_voc2012

FAST = ("--templates", "name", "--device", "cpu")


@pytest.fixture
def own(home):
    """A folder of six scenes with masks of two names."""
    scenes = SceneDataset(seed=7, count=6, names=("cat", "dog"))
    for name in ("images", "masks"):
        (home / "own" / name).mkdir(parents=True)
    for index, sample in enumerate(scenes):
        sample.image.save(home / "own" / "images" / f"{index}.png")
        mask = Image.fromarray((sample.mask + 1).astype(np.uint8))
        mask.save(home / "own" / "masks" / f"{index}.png")
    (home / "own" / "names.txt").write_text("cat\ndog: dog, puppy\n~ grass\n")
    return home / "own"


@pytest.fixture
def journals(home):
    """Where journals are kept while a run is not complete."""
    folder = home / ".cache" / "evaluations"
    return lambda: sorted(folder.iterdir()) if folder.is_dir() else []


def test_a_table_and_a_report(cli, home, journals):
    done = cli(
        *("evaluate", "scenes", "--count", 3, "--templates", "photo", "--markdown"),
        *("--method", "similarity,clip_surgery(depth=8)", "--out", "new/r.json"),
    )
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("| method | mSC | opposite | mIoU best |")
    assert [line.split(" |")[0] for line in lines[2:]] == [
        "| similarity",
        "| clip_surgery(depth=8)",
    ]
    reports = load_reports(home / "new" / "r.json")
    assert [report.images for report in reports] == [3, 3]
    assert "seed=2000003" in reports[0].settings["dataset"]
    assert "name='scenes(templates=photo)'" in reports[0].settings["protocol"]
    assert reports[0].settings["templates"].startswith("1: ")
    assert journals() == []


def test_a_method_without_its_companion_is_left_out(cli, own):
    arguments = ("evaluate", "folder", "--root", own, "--count", 1, *FAST, "--method")
    done = cli(*arguments, "proxy_clip,similarity", "--markdown")
    assert done.code == 0, done.err
    assert "proxy_clip is left out: it needs a companion model" in done.err
    assert "--companion" in done.err
    assert "| similarity |" in done.out
    assert "| proxy_clip |" not in done.out
    alone = cli(*arguments, "proxy_clip")
    assert alone.code == 2
    assert "Methods that work with demo" in alone.err
    assert "None of these methods" in cli(*arguments, "proxy_clip,proxy_clip(sharpness=2)").err


def test_a_table_on_a_terminal(cli):
    done = cli("evaluate", "scenes", "--count", 1, *FAST)
    assert done.code == 0
    assert "pointing" in done.out
    assert "protocol scenes(templates=name)" in done.out


def test_options_override_the_protocol_and_are_recorded(cli, home, own):
    arguments = ("evaluate", "folder", "--root", own, "--method", "similarity")
    assert cli(*arguments, "--protocol", "paper_tags", "--out", "a.json").code == 0
    assert cli(*arguments, *FAST, "--size", 64, "--framing", "letterbox", "-o", "b.json").code == 0
    [first], [second] = (load_reports(home / name) for name in ("a.json", "b.json"))
    limits = "max_patches=4096, max_aspect_ratio=8.0)"
    assert first.settings["framing"] == f"FramingRule(mode='squash', size=224, {limits}"
    assert first.settings["templates"].startswith("85: ")
    assert "tags mAP surgery" in first.values
    assert second.settings["framing"] == f"FramingRule(mode='letterbox', size=64, {limits}"
    assert "scenes(size=64, framing=letterbox, templates=name)" in second.settings["protocol"]


def test_class_names_of_a_file(cli, home, own):
    (home / "author.txt").write_text("kitten\nhound,puppy\n")
    arguments = ("evaluate", "folder", "--root", own, "--class-names", home / "author.txt")
    done = cli(*arguments, "--count", 1)
    assert done.code == 2
    assert "prompts each class with its official name alone" in done.err
    done = cli(
        *(*arguments, "--protocol", "sliding_window", "--method", "similarity", "--count", 1),
        *("--size", 224, "--templates", "name", "-o", home / "a.json"),
    )
    assert done.code == 0, done.err
    [report] = load_reports(home / "a.json")
    assert "author.txt" in report.settings["dataset"]


@pytest.mark.parametrize("protocol", ["sliding_window", "sliding_window_background"])
def test_windows_aliases_and_background_words(cli, own, protocol):
    done = cli(
        *("evaluate", "folder", "--root", own, "--protocol", protocol, "--markdown"),
        *("--method", "clip_surgery", "--count", 2, "--size", 224, "--templates", "name"),
    )
    assert done.code == 0, done.err
    assert "segmentation mIoU" in done.out


def test_a_corrupt_image_is_counted_and_named(cli, home, own):
    (own / "images" / "3.png").write_bytes(b"no image")
    done = cli("evaluate", "folder", "--root", own, *FAST, "--method", "gem", "-o", "r.json")
    assert done.code == 1
    assert "1 image left out" in done.err
    assert "3.png" in done.err
    [report] = load_reports(home / "r.json")
    assert report.images == 5
    assert len(report.failures) == 1
    assert report.complete


def test_no_image_can_be_read(cli, own):
    for path in (own / "images").iterdir():
        path.write_bytes(b"no image")
    done = cli("evaluate", "folder", "--root", own, *FAST)
    assert done.code == 2
    assert "none of 6 images can be read" in done.err
    assert "--fresh begins anew" in done.err


def test_comparison_with_published_numbers(cli, home):
    mask = np.zeros((40, 48), dtype=np.int64)
    mask[8:24, 8:24] = 8  # a cat
    make_voc2012(home, {"2007_000033": mask, "2007_000042": mask})
    done = cli(
        *("evaluate", "voc20", "--root", home, "--model", "demo", "--protocol", "sliding_window"),
        *("--method", "gem,rollout", "--size", 96, "--against", "paper", "--markdown", *FAST),
    )
    assert done.code == 0, done.err
    rows = [line for line in done.out.splitlines() if line.startswith("| gem | segmentation mIoU")]
    assert len(rows) == 1
    assert "| 79.9 | - | B | not comparable: " in rows[0]
    assert (
        "published by protocol sliding_window, not sliding_window(size=96, templates=name)"
        in rows[0]
    )
    assert "published for ViT-B/16, not demo" in rows[0]
    assert "| rollout | - | - | - | - | - | nothing published" in done.out
    assert "Confidence B: published in another paper" in done.out


def test_a_subset_is_named_as_a_difference(cli, home, own, monkeypatch):
    monkeypatch.setitem(registry._entries, "voc20", registry.DATASETS["folder"])
    done = cli(
        *("evaluate", "voc20", "--root", own, "--protocol", "sliding_window", "--count", 2),
        *("--method", "gem", "--against", "paper", "--out", "r.json", *FAST),
        *("--model", "demo", "--size", 96, "--markdown"),
    )
    assert done.code == 0, done.err
    assert "only 2 images" in done.out
    assert "Subset(" in load_reports(home / "r.json")[0].settings["dataset"]


def test_some_images_are_spread_over_the_data_set():
    whole = SceneDataset(seed=3, count=10)
    some = Subset(whole, 3)
    assert some.indices == (0, 3, 6)
    assert len(some) == 3
    assert (some.name, some.names, some.classes) == (whole.name, whole.names, None)
    np.testing.assert_array_equal(some[1].mask, whole[3].mask)
    assert Subset(whole, 99).indices == tuple(range(10))
    with pytest.raises(IndexError):
        some[3]


def stop_after(parts, monkeypatch):
    """Ctrl-C when this many parts are done."""
    whole, seen = runner.Journal.write, []

    def write(self, number, content):
        if len(seen) == parts:
            raise KeyboardInterrupt
        seen.append(number)
        whole(self, number, content)

    monkeypatch.setattr(runner.Journal, "write", write)
    return seen


@pytest.mark.slow
def test_an_interrupted_evaluation_is_continued(cli, home, journals, monkeypatch):
    """Partial results are shown and kept, and the same command evaluates only the rest."""
    arguments = ("evaluate", "scenes", "--count", 34, *FAST, "--method", "similarity")
    whole = cli(*arguments, "--out", "whole.json")
    assert whole.code == 0
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        done = cli(*arguments, "--out", "r.json", "--markdown")
    assert done.code == 130
    assert "| similarity |" in done.out
    assert "partial, interrupted after 16 images" in done.out
    assert "the same command goes on" in done.err
    assert "Traceback" not in done.err
    [partial] = load_reports(home / "r.json")
    assert (partial.complete, partial.images) == (False, 16)
    assert len(journals()) == 1

    with monkeypatch.context() as patched:
        seen = stop_after(99, patched)
        done = cli(*arguments, "--out", "r.json")
    assert done.code == 0
    assert "going on where a run stopped" in done.err
    assert seen == [1, 2]
    assert journals() == []
    [report], [expected] = load_reports(home / "r.json"), load_reports(home / "whole.json")
    values, wanted = dict(report.values), dict(expected.values)
    values.pop("ms per image"), wanted.pop("ms per image")
    assert values == wanted


def test_interrupted_before_the_first_part(cli, home, monkeypatch):
    stop_after(0, monkeypatch)
    done = cli("evaluate", "scenes", "--count", 2, *FAST, "--out", "r.json")
    assert done.code == 130
    assert done.out == ""
    assert not (home / "r.json").exists()


@pytest.mark.slow
def test_a_journal_that_the_user_names_is_kept_and_reused(cli, home, monkeypatch):
    arguments = ("evaluate", "scenes", *FAST, "--method", "similarity", "--journal", "kept")
    assert cli(*arguments, "--count", 2).code == 0
    assert (home / "kept" / "00000.part").is_file()
    with monkeypatch.context() as patched:
        seen = stop_after(99, patched)
        assert cli(*arguments, "--count", 2).code == 0
        assert seen == []
        assert cli(*arguments, "--count", 2, "--fresh").code == 0
        assert seen == [0]
    done = cli(*arguments, "--count", 3)
    assert done.code == 2
    assert "another evaluation" in done.err
    assert cli(*arguments, "--count", 3, "--fresh").code == 0


def test_fresh_touches_nothing_but_a_journal(cli, home):
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("x")
    done = cli("evaluate", "scenes", "--count", 1, *FAST, "--journal", "mine", "--fresh")
    assert done.code == 2
    assert "thesis.txt" in done.err
    assert (home / "mine" / "thesis.txt").read_text() == "x"


def test_a_cache_that_cannot_be_written_is_no_obstacle(cli, home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("CLIP_SURGERY_CACHE", str(home / "file" / "cache"))
    done = cli("evaluate", "scenes", "--count", 1, *FAST, "--no-cache")
    assert done.code == 0
    assert "nothing is kept" in done.err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="locks and signals of POSIX")
def test_killed_by_the_terminal_in_another_process_and_never_run_twice_at_once(
    cli, home, journals, monkeypatch
):
    """A real Ctrl-C in the middle; while it runs, a second run of the same is refused."""
    arguments = ["evaluate", "scenes", "--count", "18", *FAST, "--method", "similarity"]
    code = (
        "import sys, time\n"
        "from clip_surgery.apps.cli.shared import run_journal\n"
        "run_journal.source_commit = lambda: None\n"
        "from clip_surgery.evaluation.execution.journal import Journal\n"
        "write = Journal.write\n"
        "def slow(self, number, content):\n"
        "    write(self, number, content)\n"
        "    if number == 0:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "Journal.write = slow\n"
        "from clip_surgery.apps.cli.main import run\n"
        "run(sys.argv[1:])\n"
    )
    # A commit to this repository in the middle would make it two different runs.
    monkeypatch.setattr(run_journal, "source_commit", lambda: None)
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--fresh"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout.readline() == "ready\n"
        for how in ((), ("--fresh",)):
            refused = cli(*arguments, *how)
            assert refused.code == 2
            assert "running already" in refused.err
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert "similarity" in out
    assert "interrupted after 16 images" in err
    assert "Traceback" not in err
    assert len(journals()) == 1
    assert cli(*arguments, "--out", "r.json").code == 0
    assert load_reports(home / "r.json")[0].images == 18


def test_a_report_that_cannot_be_written_loses_nothing(cli, home, journals, monkeypatch):
    arguments = ("evaluate", "scenes", "--count", 20, *FAST, "--method", "similarity")

    def full(reports, path):
        raise InputError(f"{path}: cannot be written (No space left on device).")

    with monkeypatch.context() as patched:
        patched.setattr(evaluation_run, "save_reports", full)
        done = cli(*arguments, "--out", "r.json")
    assert done.code == 2
    assert "No space left" in done.err
    assert f"what was done is in {journals()[0]}" in done.err
    seen = stop_after(0, monkeypatch)
    assert cli(*arguments, "--out", "r.json").code == 0
    assert seen == []
    assert load_reports(home / "r.json")[0].images == 20
    assert journals() == []


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="a folder that takes no files")
def test_an_unwritable_report_is_refused_before_the_evaluation(cli, monkeypatch):
    monkeypatch.setattr(evaluation_run, "evaluate", lambda *_, **__: pytest.fail("too late"))
    done = cli("evaluate", "scenes", "--count", 1, *FAST, "--out", "/proc/r.json")
    assert done.code == 2
    assert "/proc/r.json: cannot be written here" in done.err


def test_an_evaluation_that_cannot_start_leaves_no_journal(cli, journals):
    arguments = ("evaluate", "scenes", "--count", 1)
    assert cli(*arguments, "--model", "demos").code == 2
    assert cli(*arguments, "--protocol", "sliding_window_background").code == 2
    assert journals() == []


def test_workers_load_the_model_with_the_same_settings(cli, monkeypatch):
    """Other tests start worker processes; this one checks how workers load the model."""
    given = {}

    def evaluate(explainer, *arguments, **settings):
        given.update(settings, explainer=explainer)
        raise InputError("enough")

    monkeypatch.setattr(evaluation_run, "evaluate", evaluate)
    done = cli("evaluate", "scenes", "--count", 2, "--size", 64, *FAST, "--workers", 2)
    assert done.code == 2
    assert given["workers"] == 2
    again = given["protocol"].apply(pickle.loads(pickle.dumps(given["load"]))())
    for field in ("templates", "framing", "batch_size", "vocabulary", "truncate"):
        assert getattr(again, field) == getattr(given["explainer"], field)
    assert again.backbone.name == "demo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["voc2012x"], "scenes"),
        (["voc20"], "Expected the folder it is in for data set voc20"),
        (["voc20", "--root", "missing"], "no such folder"),
        (["scenes", "--root", "."], "Expected no folder"),
        (["scenes", "--split", "val"], "setting of data set scenes 'split'"),
        (["folder", "--root", ".", "--seed", "3"], "'seed'"),
        (["scenes", "--method", "surgery"], "clip_surgery"),
        (["scenes", "--method", "clip_surgery(depth=x)"], "number of blocks"),
        (["scenes", "--count", "0"], "count"),
        (["scenes", "--model", "demos"], "demo"),
        (["scenes", "--protocol", "paper_tag"], "'paper_tags'"),
        (["scenes", "--templates", "smal"], "'small'"),
        (["scenes", "--against", "papers"], "against"),
        (["scenes", "--out", "."], "this is a folder"),
        (["scenes", "--class-names", "none.txt"], "none.txt"),
        (["scenes", "--protocol", "sliding_window_background", "--count", "1"], "background words"),
    ],
)
def test_wrong_usage_is_one_line(cli, arguments, message):
    done = cli("evaluate", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("error: ")]) == 1


def test_the_help_lists_data_sets_and_protocols(cli):
    assert set(DATASETS) == set(registry.DATASETS)
    assert tuple(PROTOCOLS) == tuple(REGISTERED)
    assert evaluate_command.FAMILIES == benchmarks.FAMILIES
    help_text = cli("evaluate", "--help").out
    for name in (*DATASETS, *PROTOCOLS, *benchmarks.FAMILIES):
        assert name in help_text


def test_the_report_is_json_that_others_can_read(cli, home):
    assert cli("evaluate", "scenes", "--count", 1, *FAST, "--out", "r.json").code == 0
    entries = json.loads((home / "r.json").read_text())
    assert {entry["format"] for entry in entries} == {"clip-surgery report 2"}
    assert str(home) not in (home / "r.json").read_text()


def test_a_data_set_of_another_package_is_named_by_module_and_class(cli, home):
    done = cli(
        *("evaluate", "tests.evaluation.squares:Squares", "--model", "demo"),
        *("--method", "similarity", "--count", 2, "--markdown"),
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[2].startswith("| similarity |")
    done = cli("evaluate", "tests.evaluation.squares:Triangles", "--model", "demo")
    assert done.code == 2
    assert "cannot be imported as a data set" in done.err


def test_a_remark_says_that_the_settings_of_a_method_do_not_suit_the_model(cli, home):
    arguments = ["evaluate", "scenes", "--count", 1, "--method", "gem", *FAST]
    done = cli(*arguments, "--out", "r.json")
    assert "gem: The attention temperature of gem in demo is" in done.out
    assert "gem: The attention temperature" in cli("report", "r.json").out
    assert "gem: The attention temperature" in cli("report", "r.json", "--markdown").out
