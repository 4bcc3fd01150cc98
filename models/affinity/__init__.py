"""Affinity propagation (APro, arXiv 2310.10533), usable with any segmenter."""
