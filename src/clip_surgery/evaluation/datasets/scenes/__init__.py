"""Generated scenes: everyday objects on varied backgrounds, with exact masks and captions.

No download and no font are needed: one small atlas contains images of 165 nouns, rendered from Noto
Color Emoji (see NOTICE-noto-emoji.txt). Everything else is drawn with numpy from a seed.
"""

from clip_surgery.evaluation.datasets.scenes.backgrounds import BACKGROUNDS
from clip_surgery.evaluation.datasets.scenes.composition import Scene, compose
from clip_surgery.evaluation.datasets.scenes.scene_dataset import SceneDataset
from clip_surgery.evaluation.datasets.scenes.sprites import ALL_NOUNS, TRAINING_NOUNS
from clip_surgery.evaluation.datasets.scenes.stream import SceneBatch, training_batch

__all__ = [
    "ALL_NOUNS",
    "BACKGROUNDS",
    "TRAINING_NOUNS",
    "Scene",
    "SceneBatch",
    "SceneDataset",
    "compose",
    "training_batch",
]
