"""Walks over towers, attention between any two of q, k and v, and feature surgery."""
