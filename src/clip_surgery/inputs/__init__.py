"""Reading and checking of what users provide: images, texts, label files and vocabularies."""
