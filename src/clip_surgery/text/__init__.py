"""Labels to text features: prompt templates, the text bank, its cache on disk."""
