"""Files that are written whole, locks, and tensors in named formats."""
