"""Refinement of class maps: along colour edges, on graphs of patches, and by attention."""
