"""Your own images, read from a folder."""
