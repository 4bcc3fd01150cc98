"""A CLIP of random weights in a directory, saved as a real one is."""

from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

PATCH = 8


def save_tiny_clip(folder: Path, *, seed: int = 0, processor: bool = False) -> Path:
    """Save model and tokenizer; words are spelled letter by letter."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), ".</w>", ".", "-", "-</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    shape = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config=CLIPTextConfig(
            vocab_size=len(words), max_position_embeddings=77, bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1, pad_token_id=len(words) - 1, **shape,
        ).to_dict(),
        vision_config=CLIPVisionConfig(image_size=32, patch_size=PATCH, **shape).to_dict(),
        projection_dim=24,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
    CLIPTokenizer({word: place for place, word in enumerate(words)}, []).save_pretrained(folder)
    if processor:
        CLIPImageProcessor(image_mean=[0.5, 0.4, 0.3], image_std=[0.25, 0.5, 0.125]).save_pretrained(folder)
    return folder
