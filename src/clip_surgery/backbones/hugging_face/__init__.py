"""Models of transformers: the CLIP and SigLIP families, loaded by name or from a folder."""
