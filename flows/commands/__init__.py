"""The commands of ``groundwork``, by subject. Heavy libraries are imported inside them."""
