"""Promptable segmentation models, such as SAM, behind one protocol."""
