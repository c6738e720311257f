"""Small models of the true classes of open_clip, timm and transformers, with random weights."""
