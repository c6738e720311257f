"""Metrics, one per file, which are updated image by image, merged, and computed to numbers."""
