"""Shapes world: seeded data sets small enough for a unit test."""
