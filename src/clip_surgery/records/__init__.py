"""Results as plain values for JSON, and masks as files that other tools read."""
