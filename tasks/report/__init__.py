"""One self-contained HTML page per candidate, rendered from decision and metric files only."""
