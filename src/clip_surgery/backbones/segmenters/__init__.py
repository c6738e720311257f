"""Segmenters: models that cut an object out of a picture when they are shown where it is."""
