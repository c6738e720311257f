"""Many images: from folders or Parquet to Parquet, over processes or a Ray cluster."""
