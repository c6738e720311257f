"""The bundled demo model: weights, configuration, model card and loader."""
