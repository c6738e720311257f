"""Data sets, one per file, and their registry."""
