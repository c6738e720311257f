"""Reports, comparisons between reports, and published numbers."""
