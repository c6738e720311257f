"""The command line and other front ends."""
