"""Parts without a paper, shared by every model family."""
