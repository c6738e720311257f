"""Audits: pure functions against written-out versions, a planted shortcut, and resumed runs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import clip_surgery as cs
from clip_surgery.audits import run
from clip_surgery.audits.concepts import OWN, centred, name_regions
from clip_surgery.audits.findings import find_shortcuts
from clip_surgery.audits.html_report import html_report
from clip_surgery.audits.masked_images import MaskedImages
from clip_surgery.audits.planted import context_direction, plant_shortcut
from clip_surgery.audits.regions import ImageRegions, cluster, image_regions, log_odds
from clip_surgery.audits.run import audit, context_words, true_label
from clip_surgery.audits.slices import error_slices, fit_mixture
from clip_surgery.audits.with_masks import (
    MaskedOutcome,
    foreground_sensitivity,
    on_background,
    summarise,
    with_noise,
)
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS, SceneDataset, compose
from clip_surgery.evaluation.datasets.scenes.canvas import Canvas
from clip_surgery.surgery.walk import walk

LABELS = ("boat", "cow", "car")
CONTEXTS = ("water", "grass", "wall", "sky")


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo", cache=False, templates="photo", batch_size=32)


def place(name, seed):
    pixels, _ = BACKGROUNDS[name].paint(Canvas(np.random.default_rng(seed), 96))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def test_log_odds_are_those_of_the_softmax():
    features, words = torch.randn(5, 8), torch.randn(7, 8)
    found = log_odds(features, words, labels=3, scale=4.0)
    cosines = torch.nn.functional.cosine_similarity(features[:, None], words[None], dim=-1)
    shares = (4.0 * cosines.double()).softmax(dim=-1)[:, :3]
    torch.testing.assert_close(found.double(), torch.log(shares / (1 - shares)), atol=1e-5, rtol=0)
    sure = log_odds(words[:1], words, labels=1, scale=1e4)
    assert sure.isfinite().all()


def test_regions_are_numbered_without_gaps_and_flat_images_have_one():
    assert cluster(torch.ones(9, 4), 6).tolist() == [0] * 9
    assert cluster(torch.ones(1, 4), 6).tolist() == [0]
    groups = torch.eye(3).repeat_interleave(4, 0)
    found = cluster(groups, 3)
    assert [len(set(found[4 * n : 4 * n + 4])) for n in range(3)] == [1, 1, 1]
    assert sorted(set(cluster(groups, 6).tolist())) == [0, 1, 2]


def test_without_all_regions_in_turn_the_evidence_is_that_of_the_changed_image(explainer):
    words = explainer.encode([*LABELS, *CONTEXTS]).labels
    pixels = explainer.backbone.normalise(torch.rand(1, 3, 48, 64))
    found = image_regions(explainer.backbone, pixels, words, labels=3, count=2)
    scale = explainer.backbone.logit_scale
    for region in range(2):
        mask = torch.from_numpy(found.regions == region).repeat_interleave(8, 0)
        changed = pixels.masked_fill(mask.repeat_interleave(8, 1), 0.0)
        for image, expected in (
            (pixels, found.evidence),
            (changed, found.evidence - found.losses[region]),
        ):
            feature = walk(explainer.backbone.tower, image).image.detach()
            odds = log_odds(feature, words, labels=3, scale=scale)[0]
            np.testing.assert_allclose(odds.numpy(), expected, atol=2e-4)
    assert found.sizes.sum() == pytest.approx(1)


def test_a_region_is_named_beside_its_label():
    words = np.eye(4, dtype=np.float32)
    directions = centred(words)
    mixed = 0.8 * directions[0] + 0.6 * directions[2]
    weak = directions[0] + 0.01 * directions[2]
    regions = np.stack([directions[1], mixed / np.linalg.norm(mixed), weak, directions[0]])
    named = name_regions(regions.astype(np.float32), words, 0)
    assert named[0] == 1
    assert named[3] == OWN
    assert name_regions(np.zeros((0, 4), np.float32), words, 0).tolist() == []
    assert name_regions(directions[[0, 0]], words, 0).tolist() == [OWN, OWN]


def test_a_strong_shortcut_does_not_hide_the_regions_that_it_changes():
    """Most regions look very much like the label; nothing else looks that much like a word."""
    words = np.eye(5, dtype=np.float32)[:4]  # the last direction is what no word describes
    truth = np.array([1] * 6 + [2] * 2 + [3] * 2 + [0] * 2)
    regions = np.eye(5, dtype=np.float32)[truth]
    regions[:, 4] = 1.5
    regions[:6, 4] = 1.2
    regions[:6, 0] += 9  # the shortcut from word 1
    regions[10:, 0] += 9
    regions /= np.linalg.norm(regions, axis=1, keepdims=True)
    assert name_regions(regions, words, 0).tolist() == [1] * 6 + [2] * 2 + [3] * 2 + [OWN] * 2


def regions_of(losses, features, best_word=0):
    count = len(losses)
    return ImageRegions(
        evidence=np.zeros(1, np.float32),
        best_word=best_word,
        losses=np.array(losses, np.float32)[:, None],
        features=np.array(features, np.float32),
        sizes=np.full(count, 1 / count, np.float32),
        regions=np.arange(count, dtype=np.uint8)[None],
        image=np.ones(3, np.float32),
    )


def test_shares_are_parts_of_the_positive_losses():
    words = np.eye(3, dtype=np.float32)
    directions = centred(words)
    images = [
        regions_of([3, 1, -5], [directions[1], directions[0], directions[2]]) for _ in range(5)
    ]
    other = regions_of([9.0], [directions[1]], best_word=2)
    findings, [summary] = find_shortcuts(
        [*images, other], words, ("boat", "water", "sky"), labels=1
    )
    assert [(f.word, f.share.mean, f.flagged) for f in findings] == [
        ("water", 0.75, True), ("sky", 0.0, False),
    ]  # fmt: skip
    assert summary.label_share.mean == 0.25
    assert summary.images == 5
    assert findings[0].regions[0] == (0,)
    assert find_shortcuts([], words, ("boat", "water", "sky"), labels=1)[0] == []
    flat = regions_of([-1.0, 0.0], [directions[1], directions[0]])
    [finding] = find_shortcuts([flat], words, ("boat", "water", "sky"), labels=1)[0]
    assert finding.share.mean == 0
    assert not finding.flagged


def test_a_planted_shortcut_changes_features_as_the_formula_says(explainer):
    backbone = explainer.backbone
    pixels = backbone.normalise(torch.rand(2, 3, 48, 48))
    direction, label = torch.randn(2, 128).unbind()
    u, t = direction / direction.norm(), label / label.norm()
    before = walk(backbone.tower, pixels)
    after = walk(plant_shortcut(backbone, direction, label, 3.0).tower, pixels)
    for name in ("image", "patches"):
        h = getattr(before, name)
        expected = h + 3.0 * (h @ u)[..., None] * t
        torch.testing.assert_close(getattr(after, name), expected, atol=1e-4, rtol=1e-4)
    same = walk(plant_shortcut(backbone, direction, label, 0.0).tower, pixels)
    assert torch.equal(same.image, before.image)


@pytest.mark.slow
def test_a_planted_shortcut_is_found_and_nothing_without_it(explainer):
    """Water reads as "tree"; the full run over labels and seeds is benchmarks/audit.py."""
    backbone = explainer.backbone
    labels = (*LABELS, "dog", "tree", "house", "clock", "penguin", "apple", "bus")
    names = [*labels, *BACKGROUNDS]
    words = explainer.encode(names).labels

    def pixels(images):
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        return list(backbone.normalise(stacked))

    water = pixels([place("water", seed) for seed in range(6)])
    others = pixels([place(name, 1) for name in BACKGROUNDS if name != "water"])
    direction = context_direction(backbone, water, others)
    images = pixels([place("water", seed) for seed in range(100, 110)])
    images += pixels([place(name, 50) for name in BACKGROUNDS if name != "water"])
    images += pixels([compose(np.random.default_rng(n), 96, labels, 1).pixels for n in range(8)])
    for strength, is_found in ((0.0, False), (2.0, True)):
        planted = plant_shortcut(backbone, direction, words[labels.index("tree")], strength)
        regions = [image_regions(planted, p[None], words, labels=10) for p in images]
        findings = find_shortcuts(regions, words.numpy(), names, labels=10)[0]
        of_tree = [f for f in findings if f.label == "tree"]
        assert any(f.word == "water" and f.flagged for f in of_tree) == is_found
        assert not is_found or of_tree[0].word == "water"


def test_the_mixture_is_the_written_out_one_for_one_component():
    generator = np.random.default_rng(0)
    points, truth = generator.normal(size=(40, 3)), generator.integers(0, 2, 40)
    assigned, shares, guesses = fit_mixture(points, truth, 1 - truth, count=1, labels=2)
    assert assigned.tolist() == [[1.0]] * 40
    np.testing.assert_allclose(shares[0], np.bincount(truth) / 40, atol=1e-3)
    np.testing.assert_allclose(guesses[0], shares[0][::-1], atol=1e-3)


def test_slices_gather_the_errors_and_have_a_name():
    generator = np.random.default_rng(1)
    words = np.eye(4, dtype=np.float32)
    groups = np.repeat([0, 1, 2], 30)  # the images of group 2 show word 3 and are all wrong
    centres = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.7, 0, 0, 0.7]])
    embeddings = (centres[groups] + generator.normal(0, 0.05, (90, 4))).astype(np.float32)
    truth, predictions = np.where(groups == 1, 1, 0), np.where(groups == 0, 0, 1)
    slices = error_slices(embeddings, truth, predictions, words, ("a", "b", "c", "d"), labels=2)
    assert slices[0].name == "d"
    assert slices[0].accuracy.mean == 0
    assert (slices[0].truth, slices[0].prediction) == ("a", "b")
    assert {groups[index] for found in slices for index in found.images} == {2}
    assert error_slices(embeddings, truth, truth, words, ("a", "b", "c", "d"), labels=2) == []
    assert error_slices(embeddings[:3], truth[:3], 1 - truth[:3], words, "abcd", labels=2) == []


def test_measures_with_masks():
    def outcome(label, background, whole, same=None, different=None):
        return MaskedOutcome(
            label=label, background=background, whole=whole, same=same, different=different,
            noisy_background=True, noisy_object=False,
        )  # fmt: skip

    outcomes = [outcome("boat", "water", True, True, False)] * 4
    outcomes += [outcome("boat", "grass", False, True, True)] * 3
    summary = summarise(outcomes)
    assert summary.accuracy.mean == pytest.approx(4 / 7)
    assert summary.gap.mean == pytest.approx(4 / 7)
    assert summary.worst_group[:2] == ("boat", "grass")
    assert summary.foreground_sensitivity == 1
    assert summarise([]) is None
    assert summarise([outcome("boat", "sea", True)]).gap is None
    assert foreground_sensitivity(0.0, 0.0) == 0
    assert foreground_sensitivity(0.2, 0.6) == pytest.approx(-0.5)


def test_objects_are_put_on_backgrounds_and_noise_stays_in_its_place():
    pixels, mask = torch.rand(3, 6, 8), torch.zeros(6, 8, dtype=torch.bool)
    mask[2:4, 3:5] = True
    composed = on_background(pixels, mask, torch.full((3, 4, 4), 9.0))
    assert torch.equal(composed[:, mask], pixels[:, mask])
    assert (composed[:, ~mask] == 9).all()
    noisy = with_noise(pixels, mask, seed=0)
    assert torch.equal(noisy[:, ~mask], pixels[:, ~mask])
    assert not torch.equal(noisy[:, mask], pixels[:, mask])


@pytest.mark.slow
def test_images_with_masks_are_measured(explainer):
    names = ("boat", "cow")
    words = (*names, "water", "grass")
    images = MaskedImages(explainer, explainer.encode(words).labels, words, labels=2)
    scenes = SceneDataset(seed=3, count=3, names=names)
    outcomes = [images.measure(scene, seed) for seed, scene in enumerate(scenes)]
    assert outcomes[0].same is None
    assert {outcome.background for outcome in outcomes} <= {"water", "grass"}
    assert summarise(outcomes).images == 3
    empty = cs.Sample(
        image=Image.new("RGB", (96, 96)), mask=np.full((96, 96), -1), present=frozenset()
    )
    assert images.measure(empty, 0) is None


@pytest.fixture
def folder(tmp_path):
    for label, name in (("boat", "water"), ("cow", "grass"), ("boat", "wall")):
        (tmp_path / label).mkdir(exist_ok=True)
        Image.fromarray(place(name, 1)).save(tmp_path / label / f"<b>{name}.png")
    (tmp_path / "cow" / "bad.png").write_bytes(b"not an image")
    return tmp_path


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_and_the_page_is_safe(explainer, folder, monkeypatch):
    paths = sorted(folder.rglob("*.png"))
    arguments = {"vocabulary": CONTEXTS, "regions": 2}
    whole, regions = audit(explainer, paths, LABELS, **arguments)
    assert len(whole.images) == 3
    assert "bad.png" in whole.skipped[0]
    steps = []

    def stop(count):
        steps.append(count)
        if len(steps) == 2:
            raise KeyboardInterrupt

    journal = folder / "journal"
    with pytest.raises(KeyboardInterrupt):
        audit(explainer, paths, LABELS, **arguments, journal=journal, on_progress=stop)
    measured = []
    measure = run.image_regions
    monkeypatch.setattr(
        run, "image_regions", lambda *a, **k: measured.append(1) or measure(*a, **k)
    )
    again, _ = audit(explainer, paths, LABELS, **arguments, journal=journal)
    assert len(measured) <= 2
    assert again == whole
    page = html_report(explainer, again, regions)
    assert "<b>water" not in page
    assert "script" not in page
    large = [finding for finding in whole.findings if finding.share.mean >= 0.05]
    assert page.count("<article>") == len(large) + len(whole.slices)
    json.dumps(whole.to_values(), allow_nan=False)


def test_bad_requests_have_a_message(explainer, folder):
    with pytest.raises(InputError, match=r"none of 1 can: .*bad\.png"):
        audit(explainer, [folder / "cow" / "bad.png"], LABELS, vocabulary=CONTEXTS)
    with pytest.raises(InputError, match="two words"):
        audit(explainer, [], ["boat"], vocabulary=["Boat"])
    assert true_label("a/dogs/1.jpg", ["dog"]) is None
    assert "water" in context_words()
