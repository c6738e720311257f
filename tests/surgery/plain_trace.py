"""A plain forward pass that returns all intermediate results of its last blocks, for comparison."""

from types import SimpleNamespace

from clip_surgery.surgery.heads import checked_grid, project_heads
from clip_surgery.surgery.trace import first_of, step_through
from clip_surgery.surgery.walk import Features


def trace(tower, pixels, *, depth=1):
    """Features, and per traced block its output tokens, heads, attention and attended values."""
    first, grid = first_of(tower, depth), checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens, steps = tower.embed(pixels), []
    for block in tower.blocks:
        steps.append(step_through(block, tokens, project_heads(tower, block, tokens, grid)))
        tokens = steps[-1].tokens
    steps = steps[first:]
    patches = tower.project(tokens[:, tower.prefix_tokens :])
    return SimpleNamespace(
        features=Features(image=tower.pool(tokens), patches=patches, grid=grid),
        tokens=tuple(step.tokens for step in steps),
        heads=tuple(step.heads for step in steps),
        attentions=tuple(step.attention for step in steps),
        received=tuple(step.received for step in steps),
    )
