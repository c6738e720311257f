"""Ways of explaining CLIP, one file each."""
