"""Tasks: heatmaps, points, boxes, masks, classes, tags and words from an explanation."""
