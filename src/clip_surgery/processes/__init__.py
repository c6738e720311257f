"""Worker processes: one pool for the evaluation and for batch jobs, and delayed Ctrl-C."""
