"""Code that commands share: options, the loop over images, tables, output files."""
