"""Units of work: the only package that touches files, services and the clock."""
