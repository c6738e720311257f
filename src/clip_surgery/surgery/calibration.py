"""Self-calibration: smoothed patches around a last block that attends by patch affinity.

Source: SC-CLIP (arXiv 2411.15869) and SFP (ICCV 2025), whose released codes share this structure.
Differences: the image feature is the model's own; every image of a batch has its own means; the
second smoothing runs once on the sum of both streams, which is the same because it is linear.

Letters: B images, P patches, N tokens, E tower width, D joint width.
"""

from __future__ import annotations

from torch import Tensor

from clip_surgery.surgery.affinity import cut_below, patch_cosines, smooth
from clip_surgery.surgery.attention import AttentionRule
from clip_surgery.surgery.last_block import LastBlock
from clip_surgery.surgery.walk import Features


def calibrated_features(
    last: LastBlock,
    *,
    patches: Tensor,
    middle_cosines: Tensor,
    low_patches: Tensor,
    rule: AttentionRule,
    level_rule: AttentionRule,
    class_weight: float,
    threshold: float,
) -> Features:
    """Return features of the last block on smoothed patches, and of a second stream of levels.

    With T(S) the affinities S that reach the threshold as weights, O the out-projection and c the
    class token, the patch features are the projection of

        y + z,  y = T(low) (O(rule(T(middle) x)) + class_weight c)
                z = T(low) (O(level_rule(l)) + class_weight c of l)

    where x are the patches before the last block and l is the sum of the levels. z is left out if
    the walk has kept no levels.

    Args:
        last: the last block, with the sum of the levels.
        patches: x, (B, P, E), after the repair of outliers.
        middle_cosines: cosines of the patches of a middle block (B, P, P).
        low_patches: patches of a low block (B, P, E).
        rule: attention of the last block on x.
        level_rule: attention of the last block on the levels.
        class_weight: weight of the class token; it has no effect in a tower without one.
        threshold: lowest cosine by which patches are smoothed.
    """
    smoothed = smooth(patches, cut_below(middle_cosines, threshold))
    output = last.attend(last.with_patches(smoothed), rule)
    output = output + class_weight * last.class_residual(last.tokens)
    levels = last.seen.levels
    if levels is not None:
        output = output + last.attend(levels, level_rule)
        output = output + class_weight * last.class_residual(levels)
    output = smooth(output, cut_below(patch_cosines(low_patches), threshold))
    return Features(image=last.image(), patches=last.tower.project(output), grid=last.grid)
