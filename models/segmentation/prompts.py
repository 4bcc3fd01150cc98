"""Sentences around a class name, for text towers that were trained on captions.

Source: the 80 templates that the authors of CLIP chose for ImageNet (Radford et al., "Learning Transferable
Visual Models From Natural Language Supervision", https://arxiv.org/abs/2103.00020; MIT licence), and the five
about scenes that MaskCLIP adds (https://arxiv.org/abs/2112.01071).
"""

from typing import Final

_PHOTOS = (
    "a bad photo of a {}.", "a photo of many {}.", "a photo of the hard to see {}.",
    "a low resolution photo of the {}.", "a bad photo of the {}.", "a cropped photo of the {}.",
    "a photo of a hard to see {}.", "a bright photo of a {}.", "a photo of a clean {}.",
    "a photo of a dirty {}.", "a dark photo of the {}.", "a photo of my {}.", "a photo of the cool {}.",
    "a close-up photo of a {}.", "a black and white photo of the {}.", "a pixelated photo of the {}.",
    "a bright photo of the {}.", "a cropped photo of a {}.", "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.", "a blurry photo of the {}.", "a photo of the {}.",
    "a good photo of the {}.", "a photo of one {}.", "a close-up photo of the {}.", "a photo of a {}.",
    "a low resolution photo of a {}.", "a photo of the clean {}.", "a photo of a large {}.",
    "a photo of a nice {}.", "a photo of a weird {}.", "a blurry photo of a {}.",
    "a pixelated photo of a {}.",
    "a jpeg corrupted photo of the {}.", "a good photo of a {}.", "a photo of the nice {}.",
    "a photo of the small {}.", "a photo of the weird {}.", "a photo of the large {}.",
    "a black and white photo of a {}.", "a dark photo of a {}.", "a photo of a cool {}.",
    "a photo of a small {}.",
)  # fmt: skip
_OTHERS = (
    "a sculpture of a {}.", "a rendering of a {}.", "graffiti of a {}.", "a tattoo of a {}.",
    "the embroidered {}.", "a drawing of a {}.", "the plastic {}.", "a painting of the {}.",
    "a painting of a {}.", "a sculpture of the {}.", "a plushie {}.", "the plushie {}.",
    "a rendition of a {}.",
    "a rendition of the {}.", "a cartoon {}.", "the cartoon {}.", "art of a {}.", "art of the {}.",
    "a sketch of a {}.", "a sketch of the {}.", "a embroidered {}.", "a origami {}.",
    "the origami {}.", "the toy {}.", "a toy {}.", "a plastic {}.",
    "a rendering of the {}.", "itap of a {}.", "itap of my {}.", "itap of the {}.", "a doodle of a {}.",
    "a doodle of the {}.", "a tattoo of the {}.", "graffiti of the {}.", "the {} in a video game.",
    "a {} in a video game.", "a drawing of the {}.",
)  # fmt: skip
_SCENES = (
    "there is a {} in the scene.", "there is the {} in the scene.", "this is a {} in the scene.",
    "this is the {} in the scene.", "this is one {} in the scene.",
)  # fmt: skip

TEMPLATES: Final = (*_PHOTOS, *_OTHERS, *_SCENES)
