"""LPOSS and FreeCP, compared with plain loops over the tokens and attention of the model."""

import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.free_cp import FreeCp
from clip_surgery.methods.grad_eclip import GradEclip
from clip_surgery.methods.lposs import Lposs
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.testing.tiny_backbones import tiny_backbones
from tests.methods.naive import (
    PATCH,
    SIDE,
    assert_same_map,
    attentions_of,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    labels,
    random_images,
    run,
)

COUNT = SIDE * SIDE
PLACES = [(i // SIDE, i % SIDE) for i in range(COUNT)]


def plain_graph(tokens, neighbours):
    """The normalised graph (P, P) of tokens (P, E) of one image."""
    unit = F.normalize(tokens - tokens.mean(dim=0), dim=-1)
    weights = torch.zeros(COUNT, COUNT, dtype=torch.float64)
    for i in range(COUNT):
        nearest = sorted(range(COUNT), key=lambda j, i=i: -float(unit[i] @ unit[j]))[:neighbours]
        for j in nearest:
            near = math.exp(-0.01 * PATCH * math.dist(PLACES[i], PLACES[j]))
            weights[i, j] = max(0.0, float(unit[i] @ unit[j])) ** 3 * near
    weights = weights + weights.T
    weights.fill_diagonal_(0)
    root = weights.sum(1).rsqrt()
    return root[:, None] * weights * root


@torch.no_grad()
def test_lposs_equals_a_plain_system():
    model = double_model(visual={"layers": 12})
    backbone, pixels, texts = double_backbone(model), random_images(), labels()
    evidence = Lposs(steps=80, spread=0.8, neighbour_share=0.3)(backbone, pixels, texts)
    base = MaskClip()(backbone, pixels, texts)
    for row, image in enumerate(pixels):
        tokens = embed(model, image)
        for block in blocks_of(model)[:9]:
            tokens = run(block, tokens)
        system = torch.eye(COUNT).double() - 0.8 * plain_graph(tokens[1:], 5)
        expected = torch.linalg.solve(system, base.patches[row].double().T).T
        assert_same_map(evidence.patches[row], expected)
    assert torch.equal(evidence.patches, evidence.similarity)


@torch.no_grad()
def test_lposs_without_spread_is_its_base_and_takes_a_companion():
    backbone, pixels, texts = double_backbone(double_model()), random_images(), labels()
    neutral = Lposs(base=ClearClip(), spread=0.0)(backbone, pixels, texts)
    torch.testing.assert_close(neutral.patches, ClearClip()(backbone, pixels, texts).patches)
    with pytest.raises(UnsupportedModelError, match="companion"):
        Lposs(source="companion")(backbone, pixels, texts)
    helped = tiny_backbones(["open_clip"])["open_clip"]
    images = pixels.float()
    by_companion, alone = (
        Lposs(source=source)(helped, images, texts).patches for source in ("companion", "middle")
    )
    assert by_companion.isfinite().all()
    assert not torch.allclose(by_companion, alone)


def boxes_of(level):
    """Patches (rows, columns) in a box around the connected parts where a map is set."""
    inside, seen = torch.zeros(SIDE, SIDE, dtype=torch.bool), set()
    for start in PLACES:
        if start in seen or not level[start]:
            continue
        part, stack = set(), [start]
        while stack:
            row, column = stack.pop()
            if (row, column) in part:
                continue
            part.add((row, column))
            stack += [
                (r, c)
                for r, c in PLACES
                if abs(r - row) <= 1 and abs(c - column) <= 1 and level[r, c]
            ]
        seen |= part
        rows, columns = [r for r, _ in part], [c for _, c in part]
        inside[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1] = True
    return inside


def plain_refined(model, image, cosines):
    """p and r (C, P) of FreeCP for the cosines (C, P) of one image."""
    tokens, total = embed(model, image), 0
    blocks = blocks_of(model)
    for block in blocks[:-1]:
        heads = attentions_of(heads_of(block, block.ln_1(tokens)))
        total = total + sum(heads)[1:, 1:] / len(heads)
        tokens = run(block, tokens)
    walk = total / (len(blocks) - 1)
    for _ in range(3):
        walk = walk / walk.sum(dim=0)
        walk = walk / walk.sum(dim=1, keepdim=True)
    walk = (walk + walk.T) / 2
    walk = walk @ walk
    p = (100 * cosines).softmax(dim=0)
    scaled = (p - p.min()) / (p.max() - p.min())
    refined = []
    for one in scaled:
        inside = boxes_of((one >= 0.4 * one.max()).view(SIDE, SIDE)).flatten()
        r = walk @ (one * inside)
        refined.append((r - r.min()) / (r.max() - r.min()))
    return p, torch.stack(refined)


@torch.no_grad()
def test_free_cp_refines_by_attention_and_removes_redundant_texts():
    model = double_model()
    backbone, pixels, texts = double_backbone(model), random_images(), labels(count=5)
    base = ClearClip()(backbone, pixels, texts)
    evidence = FreeCp(redundancy_threshold=0.2, ambiguity_threshold=2.0)(backbone, pixels, texts)
    assert torch.equal(evidence.patches, base.patches)
    removed = 0
    for row, image in enumerate(pixels):
        p, r = plain_refined(model, image, base.patches[row].double())
        for text in range(5):
            overlap = float((p[text] * r[text]).sum() / (p[text].sum() + r[text].sum()))
            if overlap > 0.2:
                assert_same_map(evidence.similarity[row, text], r[text])
            else:
                removed += 1
                assert (evidence.similarity[row, text] == -1).all()
    assert 0 < removed < 10


@torch.no_grad()
def test_of_ambiguous_texts_the_one_that_fits_their_crop_stays():
    model = double_model()
    backbone, pixels, texts = double_backbone(model), random_images(1), labels(count=4)
    every = FreeCp(redundancy_threshold=0.0, ambiguity_threshold=2.0)
    r = every(backbone, pixels, texts).similarity[0]
    found = FreeCp(redundancy_threshold=0.0, ambiguity_threshold=0.0)(backbone, pixels, texts)
    kept = (found.similarity[0] >= 0).all(dim=-1)
    mean = r.mean(dim=0).view(SIDE, SIDE)
    rows, columns = (mean >= 0.4 * mean.max()).nonzero().T
    box = pixels[
        ...,
        PATCH * int(rows.min()) : PATCH * (int(rows.max()) + 1),
        PATCH * int(columns.min()) : PATCH * (int(columns.max()) + 1),
    ]
    side = backbone.image_size // 2
    crop = F.interpolate(box, (side, side), mode="bilinear", align_corners=False)
    feature = backbone.tower.pool(_tokens_after_all_blocks(backbone.tower, crop))
    best = int((F.normalize(feature, dim=-1) @ texts.labels.double().T).argmax())
    assert kept.nonzero().flatten().tolist() == [best]
    assert torch.equal(found.similarity[0, best], r[best])


def _tokens_after_all_blocks(tower, pixels):
    tokens = tower.embed(pixels)
    for block in tower.blocks:
        query, key, value = (
            part.unflatten(-1, (block.attention.heads, -1)).transpose(1, 2)
            for part in block.attention.project_in(block.norm_attention(tokens), "qkv")
        )
        weights = (query @ key.mT * block.attention.scale).softmax(dim=-1)
        received = (weights @ value).transpose(1, 2).flatten(2)
        tokens = block.add_feed_forward(tokens + block.attention.project_out(received))
    return tokens


@pytest.mark.parametrize("method", [Lposs(), FreeCp()])
@torch.no_grad()
def test_one_patch_one_row_and_a_constant_image_are_finite(method):
    backbone, texts = double_backbone(double_model()), labels()
    for rows, columns in ((1, 1), (1, 4), (4, 4)):
        constant = torch.full((1, 3, PATCH * rows, PATCH * columns), 0.3, dtype=torch.float64)
        evidence = method(backbone, constant, texts)
        assert evidence.patches.isfinite().all()
        assert evidence.similarity.isfinite().all()
        assert (evidence.similarity.amax(dim=(1, 2)) >= 0).all()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: Lposs(middle=1.5), InputError),
        (lambda: Lposs(spread=1.0), InputError),
        (lambda: Lposs(neighbours=0), InputError),
        (lambda: Lposs(neighbour_share=0.0), InputError),
        (lambda: Lposs(exponent=float("nan")), InputError),
        (lambda: Lposs(source="dino"), UnknownNameError),
        (lambda: Lposs(base=3), InputError),
        (lambda: Lposs(base=FreeCp()), InputError),
        (lambda: Lposs(base="legrd").base_method(), UnknownNameError),
        (lambda: Lposs(base=GradEclip()), InputError),
        (lambda: FreeCp(redundancy_threshold=0.6), InputError),
        (lambda: FreeCp(logit_scale=0.0), InputError),
        (lambda: FreeCp(ambiguity_threshold=float("nan")), InputError),
    ],
)
def test_settings_outside_of_their_range_are_refused(call, error):
    with pytest.raises(error):
        call()
