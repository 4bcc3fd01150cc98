"""What a network sees of an image: canvases, encoders and their features."""
