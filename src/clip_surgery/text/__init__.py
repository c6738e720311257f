"""Features of texts: prompt templates, encoding of prompts, and the cache of features on disk."""
