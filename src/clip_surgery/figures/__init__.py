"""Images to look at: overlays, maps side by side, annotations, charts."""
