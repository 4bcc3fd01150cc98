"""Segmenters that learn from boxes."""
