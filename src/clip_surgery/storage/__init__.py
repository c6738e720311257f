"""Atomic writing of files, file locks, and files of tensors."""
