"""open_clip models: image and text towers, loading by name, the catalogue of architectures."""
