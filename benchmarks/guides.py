"""The tables of the guides on words, matches and decomposition, on scenes with the demo model.

Run `OMP_NUM_THREADS=1 python benchmarks/guides.py`, or name some of the tables: words, match,
decompose. The scenes have the seed 2_600_011, which was not used in development.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset
from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS
from clip_surgery.grid import PatchGrid
from clip_surgery.tasks.describe_heads import describe_heads

SEED = 2_600_011


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(TABLES), help="names of tables")
    for name in parser.parse_args().tables:
        print(f"\n## {name}\n")
        TABLES[name](cs.load("demo", templates="photo"))


def words(explainer: cs.Explainer, captions: int = 200) -> None:
    """Print how often words rank a present noun over an absent one, and where their maps peak."""
    rows = {"contribution (default)": {}, 'contribution, `maps="patches"`': {"maps": "patches"}}
    rows |= {name: {"evidence": name} for name in ("similarity", "gradient")}
    print("| evidence | present noun ranks first | AUROC | best patch shows the object | peak |")
    print("|---|---|---|---|---|")
    chooser, dataset = random.Random(0), SceneDataset(seed=SEED, count=captions)
    cases = []
    for scene in dataset:
        present = chooser.choice(sorted(scene.present))
        absent = chooser.choice(sorted(set(dataset.names) - scene.present))
        cases.append((scene, present, absent))
    for row, settings in rows.items():
        first, patches, peaks, scores = [], [], [], ([], [])
        for scene, present, absent in cases:
            sentence = f"a photo of a {present} and a {absent}."
            found = cs.words(
                explainer, scene.image, sentence, phrases=[present, absent], **settings
            )
            inside = scene.mask == dataset.names.index(present)
            place = found.words.index(present)
            first.append(found.ranking()[0].text == present)
            scores[0].append(float(found.scores[place]))
            scores[1].append(float(found.scores[found.words.index(absent)]))
            patches.append(best_patch_shows(found.explanation.patch_scores[0][place], inside))
            resized = cs.heatmaps(found.explanation)[0][place]
            peaks.append(bool(inside.flat[int(np.asarray(resized).argmax())]))
        higher = torch.tensor(scores[0])[:, None] > torch.tensor(scores[1])
        print(
            f"| {row} | {np.mean(first):.1%} | {float(higher.double().mean()):.3f} | "
            f"{np.mean(patches):.1%} | {np.mean(peaks):.1%} |"
        )


def best_patch_shows(scores: torch.Tensor, inside: np.ndarray) -> bool:
    """Return whether the patch with the highest score contains a pixel of the mask."""
    rows, columns = scores.shape
    return shows(divmod(int(scores.argmax()), columns), inside, PatchGrid(rows, columns))


def shows(patch: tuple[int, int], inside: np.ndarray, grid: PatchGrid) -> bool:
    """Return whether a patch, as (row, column), contains a pixel of the mask."""
    row, column = patch
    height, width = inside.shape[0] / grid.rows, inside.shape[1] / grid.columns
    rows = slice(int(row * height), int((row + 1) * height))
    return bool(inside[rows, int(column * width) : int((column + 1) * width)].any())


def match(explainer: cs.Explainer, texts: int = 60, pairs: int = 80) -> None:
    """Print whether the evidence of matches lies on the named or the shared object."""
    dataset = SceneDataset(seed=SEED, count=3 * pairs)
    scenes, names = list(dataset), dataset.names
    best, times = [], []
    for scene in scenes[:texts]:
        name = min(scene.present)
        found = cs.explain_match(explainer, f"a photo of a {name}", scene.image)
        inside = scene.mask == names.index(name)
        best.append(best_patch_shows(found.patch_scores(), inside))
        times.append(relative_evidence(found, inside))
    more, both = [], []
    for index, scene in enumerate(scenes):
        if len(more) == pairs:
            break
        following = scenes[index + 1 :]
        other = next((s for s in following if len(s.present & scene.present) == 1), None)
        if other is None:
            continue
        [shared] = other.present & scene.present
        inside, inside_other = (s.mask == names.index(shared) for s in (scene, other))
        found = cs.explain_match(explainer, other.image, scene.image)
        more.append(relative_evidence(found, inside) > 1)
        [pair] = found.best_pairs(1)
        own = shows(pair.patch, inside, found.grid)
        both.append(own and shows(pair.query_patch, inside_other, found.query_grid))
    print(f"highest patch on the named object ({len(best)} scenes): {np.mean(best):.1%}")
    print(f"evidence on the named object, relative to its area: {np.mean(times):.1f}")
    print(
        f"evidence on the shared object exceeds its area ({len(more)} pairs): {np.mean(more):.1%}"
    )
    print(f"the best pair of patches shows it in both images: {np.mean(both):.1%}")


def relative_evidence(found: cs.Match, inside: np.ndarray) -> float:
    """Return the share of the positive evidence on a mask, divided by the share of its area."""
    mask = torch.as_tensor(inside).float()[None, None]
    area = adaptive_avg_pool2d(mask, (found.grid.rows, found.grid.columns))[0, 0]
    evidence = found.patch_scores().clamp(min=0)
    return float((evidence * area).sum() / evidence.sum() / area.mean())


def decompose(explainer: cs.Explainer, scenes: int = 200, images: int = 120) -> None:
    """Print what heads and feed-forward networks carry, and words for the heads."""
    dataset = SceneDataset(seed=SEED, count=scenes)
    texts = explainer.encode(dataset.names).labels
    samples = list(dataset)
    decomposed = [cs.decompose(explainer, scene.image) for scene in samples]
    means = cs.mean_contributions(decomposed)
    blocks, heads = decomposed[0].heads.shape[:2]
    every_head = [(block, head) for block in range(blocks) for head in range(heads)]
    for name, replaced in (
        ("the model's own", {}),
        ("all feed-forward networks replaced by their means", {"feed_forward": range(blocks)}),
        ("all heads replaced by their means", {"heads": every_head}),
    ):
        features = [parts.with_means(means, **replaced) for parts in decomposed]
        nearest = [dataset.names[int((texts @ feature).argmax())] for feature in features]
        hits = [noun in scene.present for noun, scene in zip(nearest, samples, strict=True)]
        print(f"| {name} | {np.mean(hits):.1%} |")
    for head in describe_heads(explainer, [s.image for s in samples[:images]], ALL_NOUNS):
        print(
            f"| block {head.block}, head {head.head} | {', '.join(head.texts)} | "
            f"{head.explained:.0%} |"
        )


TABLES: dict[str, Callable[[cs.Explainer], None]] = {
    "words": words,
    "match": match,
    "decompose": decompose,
}

if __name__ == "__main__":
    main()
