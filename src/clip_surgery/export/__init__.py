"""Export a model to files that run without this library: image tower, text features, or both."""

from clip_surgery.export.bundle import Bundle, export_bundle
from clip_surgery.export.text_file import load_texts, save_texts

__all__ = ["Bundle", "export_bundle", "load_texts", "save_texts"]
