"""Pascal VOC and Pascal Context."""
