"""What data sets that read files share: layout checks, listings, image and mask files."""
