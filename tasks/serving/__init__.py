"""How other programs load a promoted model."""
