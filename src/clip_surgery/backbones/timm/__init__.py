"""timm image towers inside open_clip models."""
