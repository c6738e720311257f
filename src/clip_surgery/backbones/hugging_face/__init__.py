"""transformers models: CLIP and SigLIP families, loading by name or from a folder."""
