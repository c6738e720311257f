"""Checks of methods on scenes: resumed runs, quality, and the command."""

import pytest

import clip_surgery as cs
from clip_surgery.apps.cli.commands import check_method
from clip_surgery.errors import InputError
from clip_surgery.evaluation import CHECKS, SceneDataset, check_methods
from clip_surgery.evaluation.trust import run
from clip_surgery.methods.registry import parse_methods

CHEAP = ["absent", "flip"]


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo", cache=False, templates="photo", batch_size=32)


def test_an_interrupted_run_goes_on_and_gives_the_same_report(explainer, tmp_path, monkeypatch):
    scenes, methods = SceneDataset(seed=5, count=3), parse_methods("similarity")
    whole = check_methods(explainer, scenes, methods, checks=CHEAP)
    finished = []

    def stop(steps):
        finished.append(steps)
        if len(finished) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_methods(explainer, scenes, methods, checks=CHEAP, journal=tmp_path, on_progress=stop)
    (tmp_path / "00001.part").write_bytes(b"damaged")
    measured = []
    measure = run._Run.measure
    monkeypatch.setattr(run._Run, "measure", lambda self, n: measured.append(n) or measure(self, n))
    again = check_methods(explainer, scenes, methods, checks=CHEAP, journal=tmp_path)
    assert measured == [1, 2]
    assert again == whole
    with pytest.raises(InputError, match="another evaluation"):
        check_methods(explainer, scenes, methods, checks=["flip"], journal=tmp_path)


def test_bad_requests_have_a_message(explainer):
    scenes = SceneDataset(seed=5, count=1)
    with pytest.raises(InputError, match="Expected checks among randomisation"):
        check_methods(explainer, scenes, {}, checks=["colour"])

    class Nothing(SceneDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return cs.Sample.without_mask(sample.image, present=frozenset())

    with pytest.raises(InputError, match="no image contains a class"):
        check_methods(explainer, Nothing(seed=1, count=1), {}, checks=["flip"])


def test_the_command_lists_the_checks():
    assert tuple(CHECKS) == check_method.CHECKS


@pytest.mark.slow
def test_surgery_is_more_faithful_than_similarity_and_random_order(explainer):
    """Loose floors; docs/findings.md has the table with intervals."""
    checks = ["road", "insertion_deletion", "sensitivity", "mosaic", "flip"]
    report = check_methods(
        explainer,
        SceneDataset(seed=2_000_003, count=8),
        parse_methods("similarity, clip_surgery"),
        checks=checks,
    )
    means = {row: {name: i.mean for name, i in v.items()} for row, v in report.values.items()}
    for name, margin in {
        "road": 0.1,
        "insertion_deletion": 0.2,
        "sensitivity": 0.15,
        "mosaic": 0.1,
    }.items():
        for baseline in ("similarity", "random order"):
            assert means["clip_surgery"][name] > means[baseline][name] + margin, (name, baseline)
    assert means["clip_surgery"]["flip"] > 0.5
