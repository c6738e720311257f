"""clip-surgery: heatmaps, points, masks, tags and words from any CLIP model, without training.

Names are imported when they are first used, so that `import clip_surgery` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_surgery.plugins import lazy_names

if TYPE_CHECKING:
    from clip_surgery.apps.batch.job import Job, TaskSettings
    from clip_surgery.apps.batch.local_engine import LocalEngine
    from clip_surgery.apps.batch.ray_engine import RayEngine
    from clip_surgery.apps.batch.sources import open_source
    from clip_surgery.backbones.companion import Companion
    from clip_surgery.backbones.companion_loading import load_companion
    from clip_surgery.calibrated_presence import CalibratedPresence
    from clip_surgery.errors import (
        ClipSurgeryError,
        FewTextsWarning,
        InputError,
        MissingExtraError,
        UnknownNameError,
        UnsupportedModelError,
        WeightsError,
    )
    from clip_surgery.evaluation.calibration import calibrate_presence
    from clip_surgery.evaluation.datasets.dataset import Dataset, Sample
    from clip_surgery.evaluation.datasets.registry import open_dataset, register_dataset
    from clip_surgery.evaluation.execution.run import evaluate
    from clip_surgery.evaluation.protocols.protocol import Protocol
    from clip_surgery.evaluation.protocols.registry import default_protocol
    from clip_surgery.evaluation.reporting.report import Report, markdown_table
    from clip_surgery.explainer import Explainer
    from clip_surgery.explanation import Explanation
    from clip_surgery.figures.attention import attention_figure
    from clip_surgery.figures.heads import heads_figure
    from clip_surgery.figures.interactions import interactions_figure
    from clip_surgery.figures.match import match_figure
    from clip_surgery.figures.overlay import overlay
    from clip_surgery.figures.words import words_figure
    from clip_surgery.framing import Framing, FramingRule, Size
    from clip_surgery.grid import PatchGrid
    from clip_surgery.inputs.images import InputImage, read_image
    from clip_surgery.loading import load, wrap
    from clip_surgery.methods.method import Evidence, Method
    from clip_surgery.methods.registered import register_method
    from clip_surgery.methods.registry import parse_methods
    from clip_surgery.presence_rule import PresenceRule
    from clip_surgery.records.instances import Instance, Instances, instances
    from clip_surgery.records.mask_files import decode_rle, encode_rle, palette_image
    from clip_surgery.refinement.guided_filter import GuidedRefinement
    from clip_surgery.refinement.laplacian import LaplacianRefinement
    from clip_surgery.refinement.local_affinity import PamrRefinement
    from clip_surgery.refinement.pixel_graph import PixelGraphRefinement
    from clip_surgery.segmenters.image_attention import DenseSegmenter, ImageAttention
    from clip_surgery.segmenters.registry import load_segmenter, register_segmenter
    from clip_surgery.segmenters.sam import SamSegmenter
    from clip_surgery.segmenters.segmenter import Candidates, Prompt, Segmenter
    from clip_surgery.settings import ExplainerSettings
    from clip_surgery.surgery.decomposed_feature import (
        DecomposedFeature,
        MeanContributions,
        PartScores,
        mean_contributions,
    )
    from clip_surgery.tasks.ablation import ablate_heads
    from clip_surgery.tasks.boxes import Box, BoxRule, boxes
    from clip_surgery.tasks.decompose import decompose
    from clip_surgery.tasks.describe_heads import HeadDescription, describe_heads
    from clip_surgery.tasks.head_attention import HeadAttention, head_attention
    from clip_surgery.tasks.heatmaps import heatmap_tiles, heatmaps
    from clip_surgery.tasks.inspection import AttentionMap, SharedSimilarity, attention, redundancy
    from clip_surgery.tasks.interactions import Interactions, interactions
    from clip_surgery.tasks.masks import Mask, masks
    from clip_surgery.tasks.match import Match, MatchedPair, explain_match
    from clip_surgery.tasks.patch_features import patch_features
    from clip_surgery.tasks.point_rules import PeakPoints, ReferencePoints
    from clip_surgery.tasks.points import Points, points
    from clip_surgery.tasks.presence import presence, presence_p_values
    from clip_surgery.tasks.refinement import refine
    from clip_surgery.tasks.search import Hit, image_features, rank_images
    from clip_surgery.tasks.segmentation import segment
    from clip_surgery.tasks.tags import Tag, tags
    from clip_surgery.tasks.text_selection import split_names
    from clip_surgery.tasks.words import words
    from clip_surgery.text.bank import template_features
    from clip_surgery.text.cache import TextCache
    from clip_surgery.text.experts import choose_templates, with_experts
    from clip_surgery.text.shift import with_text_shift
    from clip_surgery.windows import Windows, explain_windows
    from clip_surgery.word_explanation import WordExplanation

_MODULES = {
    "AttentionMap": "tasks.inspection",
    "Box": "tasks.boxes",
    "BoxRule": "tasks.boxes",
    "CalibratedPresence": "calibrated_presence",
    "Candidates": "segmenters.segmenter",
    "ClipSurgeryError": "errors",
    "Companion": "backbones.companion",
    "Dataset": "evaluation.datasets.dataset",
    "DecomposedFeature": "surgery.decomposed_feature",
    "DenseSegmenter": "segmenters.image_attention",
    "Evidence": "methods.method",
    "Explainer": "explainer",
    "ExplainerSettings": "settings",
    "Explanation": "explanation",
    "FewTextsWarning": "errors",
    "Framing": "framing",
    "FramingRule": "framing",
    "GuidedRefinement": "refinement.guided_filter",
    "HeadAttention": "tasks.head_attention",
    "HeadDescription": "tasks.describe_heads",
    "Hit": "tasks.search",
    "ImageAttention": "segmenters.image_attention",
    "InputError": "errors",
    "InputImage": "inputs.images",
    "Instance": "records.instances",
    "Instances": "records.instances",
    "Interactions": "tasks.interactions",
    "Job": "apps.batch.job",
    "LaplacianRefinement": "refinement.laplacian",
    "LocalEngine": "apps.batch.local_engine",
    "Mask": "tasks.masks",
    "Match": "tasks.match",
    "MatchedPair": "tasks.match",
    "MeanContributions": "surgery.decomposed_feature",
    "Method": "methods.method",
    "MissingExtraError": "errors",
    "PamrRefinement": "refinement.local_affinity",
    "PartScores": "surgery.decomposed_feature",
    "PatchGrid": "grid",
    "PeakPoints": "tasks.point_rules",
    "PixelGraphRefinement": "refinement.pixel_graph",
    "Points": "tasks.points",
    "PresenceRule": "presence_rule",
    "Prompt": "segmenters.segmenter",
    "Protocol": "evaluation.protocols.protocol",
    "RayEngine": "apps.batch.ray_engine",
    "ReferencePoints": "tasks.point_rules",
    "Report": "evaluation.reporting.report",
    "SamSegmenter": "segmenters.sam",
    "Sample": "evaluation.datasets.dataset",
    "Segmenter": "segmenters.segmenter",
    "SharedSimilarity": "tasks.inspection",
    "Size": "framing",
    "Tag": "tasks.tags",
    "TaskSettings": "apps.batch.job",
    "TextCache": "text.cache",
    "UnknownNameError": "errors",
    "UnsupportedModelError": "errors",
    "WeightsError": "errors",
    "Windows": "windows",
    "WordExplanation": "word_explanation",
    "ablate_heads": "tasks.ablation",
    "attention": "tasks.inspection",
    "attention_figure": "figures.attention",
    "boxes": "tasks.boxes",
    "calibrate_presence": "evaluation.calibration",
    "choose_templates": "text.experts",
    "decode_rle": "records.mask_files",
    "decompose": "tasks.decompose",
    "default_protocol": "evaluation.protocols.registry",
    "describe_heads": "tasks.describe_heads",
    "encode_rle": "records.mask_files",
    "evaluate": "evaluation.execution.run",
    "explain_match": "tasks.match",
    "explain_windows": "windows",
    "head_attention": "tasks.head_attention",
    "heads_figure": "figures.heads",
    "heatmap_tiles": "tasks.heatmaps",
    "heatmaps": "tasks.heatmaps",
    "image_features": "tasks.search",
    "instances": "records.instances",
    "interactions": "tasks.interactions",
    "interactions_figure": "figures.interactions",
    "load": "loading",
    "load_companion": "backbones.companion_loading",
    "load_segmenter": "segmenters.registry",
    "markdown_table": "evaluation.reporting.report",
    "masks": "tasks.masks",
    "match_figure": "figures.match",
    "mean_contributions": "surgery.decomposed_feature",
    "open_dataset": "evaluation.datasets.registry",
    "open_source": "apps.batch.sources",
    "overlay": "figures.overlay",
    "palette_image": "records.mask_files",
    "parse_methods": "methods.registry",
    "patch_features": "tasks.patch_features",
    "points": "tasks.points",
    "presence": "tasks.presence",
    "presence_p_values": "tasks.presence",
    "rank_images": "tasks.search",
    "read_image": "inputs.images",
    "redundancy": "tasks.inspection",
    "refine": "tasks.refinement",
    "register_dataset": "evaluation.datasets.registry",
    "register_method": "methods.registered",
    "register_segmenter": "segmenters.registry",
    "segment": "tasks.segmentation",
    "split_names": "tasks.text_selection",
    "tags": "tasks.tags",
    "template_features": "text.bank",
    "with_experts": "text.experts",
    "with_text_shift": "text.shift",
    "words": "tasks.words",
    "words_figure": "figures.words",
    "wrap": "loading",
}

__all__ = [
    "AttentionMap",
    "Box",
    "BoxRule",
    "CalibratedPresence",
    "Candidates",
    "ClipSurgeryError",
    "Companion",
    "Dataset",
    "DecomposedFeature",
    "DenseSegmenter",
    "Evidence",
    "Explainer",
    "ExplainerSettings",
    "Explanation",
    "FewTextsWarning",
    "Framing",
    "FramingRule",
    "GuidedRefinement",
    "HeadAttention",
    "HeadDescription",
    "Hit",
    "ImageAttention",
    "InputError",
    "InputImage",
    "Instance",
    "Instances",
    "Interactions",
    "Job",
    "LaplacianRefinement",
    "LocalEngine",
    "Mask",
    "Match",
    "MatchedPair",
    "MeanContributions",
    "Method",
    "MissingExtraError",
    "PamrRefinement",
    "PartScores",
    "PatchGrid",
    "PeakPoints",
    "PixelGraphRefinement",
    "Points",
    "PresenceRule",
    "Prompt",
    "Protocol",
    "RayEngine",
    "ReferencePoints",
    "Report",
    "SamSegmenter",
    "Sample",
    "Segmenter",
    "SharedSimilarity",
    "Size",
    "Tag",
    "TaskSettings",
    "TextCache",
    "UnknownNameError",
    "UnsupportedModelError",
    "WeightsError",
    "Windows",
    "WordExplanation",
    "ablate_heads",
    "attention",
    "attention_figure",
    "boxes",
    "calibrate_presence",
    "choose_templates",
    "decode_rle",
    "decompose",
    "default_protocol",
    "describe_heads",
    "encode_rle",
    "evaluate",
    "explain_match",
    "explain_windows",
    "head_attention",
    "heads_figure",
    "heatmap_tiles",
    "heatmaps",
    "image_features",
    "instances",
    "interactions",
    "interactions_figure",
    "load",
    "load_companion",
    "load_segmenter",
    "markdown_table",
    "masks",
    "match_figure",
    "mean_contributions",
    "open_dataset",
    "open_source",
    "overlay",
    "palette_image",
    "parse_methods",
    "patch_features",
    "points",
    "presence",
    "presence_p_values",
    "rank_images",
    "read_image",
    "redundancy",
    "refine",
    "register_dataset",
    "register_method",
    "register_segmenter",
    "segment",
    "split_names",
    "tags",
    "template_features",
    "with_experts",
    "with_text_shift",
    "words",
    "words_figure",
    "wrap",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
