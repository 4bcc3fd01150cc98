"""What a language model is shown of a region."""
