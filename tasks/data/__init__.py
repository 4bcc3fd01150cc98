"""Everything that knows a file format: pure converters and thin readers."""
