"""Data sets of the user's own, read from a folder."""
