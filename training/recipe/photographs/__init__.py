"""Real photographs in training: decoded once to the device, composed there into collages."""
