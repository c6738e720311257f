"""From an explanation to answers: heatmaps, points, masks, tags, words."""
