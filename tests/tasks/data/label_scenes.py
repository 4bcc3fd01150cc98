"""Label maps for property tests: coarse random cells with ragged edges, so regions of every size and form."""

import numpy as np
from hypothesis import strategies as st

from tasks.data.label_maps import UNLABELLED


@st.composite
def label_maps(draw, *, classes=3, longest=40):
    """Draw a label map with a few classes and some pixels without one."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell = draw(st.sampled_from([1, 3, 8, 20]))
    rows, columns = -(-height // cell), -(-width // cell)
    choices = np.array([*range(classes), UNLABELLED], dtype=np.uint8)
    cells = choices[generator.integers(0, len(choices), size=(rows, columns))]
    labels = np.kron(cells, np.ones((cell, cell), dtype=np.uint8))[:height, :width]
    speckle = generator.random(labels.shape) < draw(st.sampled_from([0.0, 0.02, 0.2]))
    return np.where(speckle, choices[generator.integers(0, len(choices), size=labels.shape)], labels)


@st.composite
def masks(draw, *, longest=24):
    """Draw a mask with at least one pixel."""
    mask = draw(label_maps(classes=1, longest=longest)) == 0
    mask[0, 0] |= not mask.any()
    return mask
