"""Batch jobs: many images into Parquet, with worker processes or a Ray cluster."""
