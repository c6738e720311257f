"""Killed runs that continue: nothing is computed twice, lost or mixed up."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.journal import HEADER, Journal, remove_journal, write_durably
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.evaluation.execution.run import evaluate
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.registry import METRICS
from clip_surgery.framing import FramingRule
from clip_surgery.loading import wrap
from clip_surgery.methods.registry import parse_methods
from tests.evaluation.metrics.test_every_metric import CHECKS_OF_TRUST
from tests.evaluation.squares import Squares, load_tiny, numbers, reads
from tests.towers import tiny_open_clip

METHODS = parse_methods("similarity, clip_surgery(depth=1)")
# Metrics that run the model dozens of times an image are left out.
QUICK = tuple(
    metric
    for name, metric in METRICS.items()
    if name != "deletion_insertion" and name not in CHECKS_OF_TRUST
)
ROOT = Path(__file__).parents[3]
RUN = """
import sys
from tests.evaluation.squares import Squares, load_tiny
from tests.evaluation.execution.test_journal import METHODS, QUICK
from clip_surgery.evaluation.execution.run import evaluate
evaluate(
    load_tiny(), Squares(10, log=sys.argv[2], stuck=7),
    METHODS, metrics=QUICK, journal=sys.argv[1], part_size=2,
)
"""


@pytest.fixture(scope="module")
def explainer():
    return load_tiny()


@pytest.fixture(scope="module")
def uninterrupted(explainer):
    return evaluate(explainer, Squares(10), METHODS, metrics=QUICK, part_size=2)


def run(explainer, folder, count=10, **settings):
    log = settings.pop("log", None)
    return evaluate(
        explainer,
        Squares(count, log=log),
        METHODS,
        metrics=QUICK,
        journal=folder,
        part_size=2,
        **settings,
    )


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.part")}


@pytest.mark.slow
def test_a_killed_run_continues_where_it_stopped(explainer, uninterrupted, tmp_path):
    """Kill -9 while the fourth part is being read: the first three are there."""
    folder, first, second = (tmp_path / name for name in ("journal", "first", "second"))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-c", RUN, folder, first], env=environment)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "00002.part").exists():
            assert process.poll() is None, "the run ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = stamps(folder)
    assert sorted(before) == ["00000.part", "00001.part", "00002.part"]
    done = []
    reports = run(explainer, folder, log=second, on_progress=done.append)
    assert done == [6, 2, 2]
    assert sorted(reads(second)) == [6, 7, 8, 9]
    after = stamps(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == 5
    assert numbers(reports) == numbers(uninterrupted)


def test_a_finished_run_is_read_back(explainer, uninterrupted, tmp_path):
    first = run(explainer, tmp_path)
    again = run(explainer, tmp_path, log=tmp_path.parent / "log")
    assert not (tmp_path.parent / "log").exists()
    assert numbers(first) == numbers(again) == numbers(uninterrupted)
    assert [r.values["ms per image"] for r in first] == [r.values["ms per image"] for r in again]


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped, lambda content: b"", lambda content: b"other"])
def test_a_damaged_part_is_measured_again(explainer, uninterrupted, tmp_path, damage):
    folder, log = tmp_path / "journal", tmp_path / "log"
    run(explainer, folder)
    path = folder / "00003.part"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"00003\.part: .* evaluated again"):
        reports = run(explainer, folder, log=log)
    assert sorted(reads(log)) == [6, 7]
    assert numbers(reports) == numbers(uninterrupted)


def test_a_copied_part_is_measured_again(explainer, uninterrupted, tmp_path):
    """A copy has a correct checksum of its own: without its number it was counted twice."""
    folder, log = tmp_path / "journal", tmp_path / "log"
    run(explainer, folder)
    shutil.copy(folder / "00001.part", folder / "00003.part")
    with pytest.warns(UserWarning, match=r"00003\.part: expected part 3 .* evaluated again"):
        reports = run(explainer, folder, log=log)
    assert sorted(reads(log)) == [6, 7]
    assert numbers(reports) == numbers(uninterrupted)


def test_swapped_parts_are_measured_again(explainer, uninterrupted, tmp_path):
    folder, log = tmp_path / "journal", tmp_path / "log"
    run(explainer, folder)
    first, second, spare = folder / "00000.part", folder / "00004.part", tmp_path / "spare"
    for source, target in ((first, spare), (second, first), (spare, second)):
        source.rename(target)
    with pytest.warns(UserWarning, match="evaluated again"):
        reports = run(explainer, folder, log=log)
    assert sorted(reads(log)) == [0, 1, 8, 9]
    assert numbers(reports) == numbers(uninterrupted)


def test_a_part_of_another_journal_is_measured_again(explainer, uninterrupted, tmp_path):
    """The same metrics and the same number, but of other images."""
    folder, other, log = (tmp_path / name for name in ("journal", "other", "log"))
    run(explainer, folder)
    run(explainer, other, count=9)
    shutil.copy(other / "00002.part", folder / "00002.part")
    with pytest.warns(UserWarning, match=r"00002\.part: .* evaluated again"):
        reports = run(explainer, folder, log=log)
    assert sorted(reads(log)) == [4, 5]
    assert numbers(reports) == numbers(uninterrupted)


def test_a_part_left_half_written_is_no_part(explainer, uninterrupted, tmp_path):
    Journal.open(tmp_path, {}, part_size=2)
    (tmp_path / HEADER).unlink()
    (tmp_path / "00001.part.77.partial").write_bytes(b"half")
    assert numbers(run(explainer, tmp_path)) == numbers(uninterrupted)


def test_the_journal_keeps_its_part_size(explainer, uninterrupted, tmp_path):
    run(explainer, tmp_path)
    whole = evaluate(explainer, Squares(10), METHODS, metrics=QUICK, journal=tmp_path, part_size=5)
    assert numbers(whole) == numbers(uninterrupted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": Squares(9)}, r"dataset was .*; images was 10, is 9"),
        ({"methods": parse_methods("gem")}, "methods was similarity.*, is gem"),
        ({"methods": parse_methods("similarity, clip_surgery(depth=2)")}, "methods was .*depth=1"),
        ({"metrics": (PresenceAuroc,)}, "metrics was .*, is PresenceAuroc"),
        ({"model": tiny_open_clip(seed=1)}, "weights was"),
        ({"templates": "photo"}, "templates was 1: '{}'"),
        ({"framing": FramingRule(mode="squash")}, "framing was"),
        ({"vocabulary": ["cow"]}, "vocabulary was 141: .*, is 1: 'cow'"),
    ],
)
def test_the_journal_of_another_evaluation_is_refused(explainer, tmp_path, change, said):
    run(explainer, tmp_path)
    before = stamps(tmp_path)
    given = {"dataset": Squares(10), "methods": METHODS, "metrics": QUICK}
    given |= {name: value for name, value in change.items() if name in given}
    settings = {name: value for name, value in change.items() if name not in given}
    settings = {"templates": "name", "cache": False, "batch_size": 2, **settings}
    other = wrap(settings.pop("model", explainer.backbone.model), **settings)
    with pytest.raises(InputError, match=f"another evaluation: {said}"):
        evaluate(other, **given, journal=tmp_path)
    assert stamps(tmp_path) == before


def test_the_journal_of_another_version_is_refused(explainer, tmp_path):
    run(explainer, tmp_path)
    header = json.loads((tmp_path / HEADER).read_text())
    header["identity"]["versions"] = "torch 1.0"
    (tmp_path / HEADER).write_text(json.dumps(header))
    with pytest.raises(InputError, match=r"versions was torch 1\.0, is python 3"):
        run(explainer, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"format": "other"}', '{"part_size": "x"}', "[" * 100_000),
        '{"format": "clip-surgery journal 2", "part_size": 1e999, "identity": {}}',
    ],
    ids=lambda content: content[:30],
)
def test_a_header_that_is_none_is_named(tmp_path, content):
    (tmp_path / HEADER).write_text(content)
    with pytest.raises(InputError, match=r"journal\.json: expected the header of a journal"):
        Journal.open(tmp_path, {}, part_size=2)


def test_a_journal_of_a_later_format_is_named(tmp_path):
    header = {"format": "clip-surgery journal 9", "part_size": 2, "identity": {}}
    (tmp_path / HEADER).write_text(json.dumps(header))
    with pytest.raises(InputError, match="journal 9"):
        Journal.open(tmp_path, {}, part_size=2)


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"contains thesis\.tex"):
        Journal.open(tmp_path, {}, part_size=2)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_removed_journal_is_gone_with_its_folder(tmp_path):
    folder = tmp_path / "journal"
    Journal.open(folder, {}, part_size=2).write(100_000, b"measured")
    killed = "import os, pathlib, sys; from clip_surgery.evaluation.execution import journal\n"
    killed += "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
    killed += "journal.write_durably(pathlib.Path(sys.argv[1], '00001.part'), b'half')"
    subprocess.run([sys.executable, "-c", killed, str(folder)], check=False)
    assert len(os.listdir(folder)) == 3
    remove_journal(folder)
    assert not folder.exists()
    remove_journal(folder)


def test_removing_stops_at_what_is_not_the_journals(tmp_path):
    Journal.open(tmp_path, {}, part_size=2).write(0, b"measured")
    for name in ("film.mkv.part", "notes.partial", "thesis.tex"):
        (tmp_path / name).write_text("mine")
    remove_journal(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["film.mkv.part", "notes.partial", "thesis.tex"]


@pytest.mark.parametrize("header", [None, "[]", '{"format": "diary 1"}'])
def test_a_folder_of_another_program_is_not_removed(tmp_path, header):
    (tmp_path / "00000.part").write_text("mine")
    if header is not None:
        (tmp_path / HEADER).write_text(header)
    before = sorted(os.listdir(tmp_path))
    remove_journal(tmp_path)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_removal_that_is_stopped_leaves_a_journal(tmp_path, monkeypatch):
    """The header goes last: without it the parts would be nobody's, and in the way."""
    Journal.open(tmp_path, {}, part_size=2).write(0, b"measured")
    unlink = Path.unlink

    def stopped(path, *arguments, **settings):
        if path.name == HEADER:
            raise KeyboardInterrupt
        unlink(path, *arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stopped)
        with pytest.raises(KeyboardInterrupt):
            remove_journal(tmp_path)
    assert os.listdir(tmp_path) == [HEADER]
    Journal.open(tmp_path, {}, part_size=2)


def test_a_part_that_vanishes_while_others_are_measured_is_missed(explainer, tmp_path, monkeypatch):
    """A report of what is left would look like one of the whole."""
    write = Journal.write

    def losing(journal, number, content):
        write(journal, number, content)
        if number == 3:
            journal.path(1).unlink()

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "write", losing)
        with pytest.raises(InputError, match=r"00001\.part: expected the result of this part"):
            run(explainer, tmp_path)
    assert run(explainer, tmp_path)[0].images == 10


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a journal cannot be kept here"):
        Journal.open(tmp_path / "file", {}, part_size=2)
    with pytest.raises(InputError, match="a journal cannot be kept here"):
        Journal.open(f"{tmp_path}/a\0b", {}, part_size=2)
    with pytest.raises(InputError, match="cannot be written"):
        write_durably(tmp_path / "missing" / "00000.part", b"")


def test_bad_images_are_kept_and_looked_at_again(explainer, tmp_path):
    def evaluated(bad, log=None):
        dataset = Squares(6, bad=bad, log=log)
        return evaluate(explainer, dataset, METHODS, journal=tmp_path / "journal", part_size=2)

    first = evaluated([1, 5])
    log = tmp_path / "log"
    assert numbers(evaluated([1, 5], log)) == numbers(first)
    assert sorted(reads(log)) == [1, 5]  # only tried; nothing is measured again
    log.unlink()
    mended = evaluated([1], log)
    assert sorted(reads(log)) == [1, 4, 5, 5]  # the part of image 5 is
    assert numbers(mended) == numbers(
        evaluate(explainer, Squares(6, bad=[1]), METHODS, part_size=2)
    )


def test_what_is_measured_comes_back_from_bytes(explainer):
    plan = Plan(dataset=Squares(), methods=METHODS, metrics=tuple(METRICS.values()), part_size=2)
    found = plan.empty_result(explainer)
    found.images, found.failures = 3, {7: "image 7: damaged"}
    found.costs["similarity"].seconds, found.costs["similarity"].peak_bytes = 0.1 + 0.2, 12
    back = plan.empty_result(explainer)
    back.load_bytes(found.to_bytes())
    assert (back.images, back.failures) == (3, found.failures)
    assert back.costs["similarity"].seconds == 0.1 + 0.2
    assert back.costs["similarity"].peak_bytes == 12


def test_bytes_of_other_metrics_are_refused(explainer):
    content = (
        Plan(dataset=Squares(), methods=METHODS, metrics=tuple(METRICS.values()), part_size=2)
        .empty_result(explainer)
        .to_bytes()
    )
    other: PartialResult = Plan(
        dataset=Squares(), methods=METHODS, metrics=(PresenceAuroc,), part_size=2
    ).empty_result(explainer)
    with pytest.raises(InputError):
        other.load_bytes(content)
