"""Multimodal language models that see regions of images."""
