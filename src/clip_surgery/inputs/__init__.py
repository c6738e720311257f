"""Images, prompt templates and texts as they come in."""
