"""Evaluation protocols as data, and their registry."""
