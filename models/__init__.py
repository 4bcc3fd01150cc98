"""Pure PyTorch: tensors in, tensors out."""
