"""Checks of whether the maps of a method can be believed, without masks."""
