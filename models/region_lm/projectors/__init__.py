"""What turns the tokens of a canvas into vectors of the language model, with fewer of them or as many."""
