"""Metrics, one file each: update with cases, merge with another part, compute to numbers."""
