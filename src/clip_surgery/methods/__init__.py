"""Methods of explaining CLIP models, one file per method."""
