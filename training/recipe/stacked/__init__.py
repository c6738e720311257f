"""Many variants of the recipe trained at once, on the same scenes: for a GPU."""
