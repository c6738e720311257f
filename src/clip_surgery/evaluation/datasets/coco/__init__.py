"""COCO: objects, stuff and tags, from the official annotation files."""
