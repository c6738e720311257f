"""CLIP models as towers, and their text features."""
