"""Pictures, files and rows."""
