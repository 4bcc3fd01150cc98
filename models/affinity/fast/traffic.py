"""Bytes that the plain PyTorch path moves through memory, from the sizes alone.

Operations are not fused, so each reads its arguments and writes its results once: that is what is counted. A
gather reads its index and as many elements as it writes; a scatter reads its index and its source, and reads
and writes as many elements; a sort of 32-bit keys moves keys and 64-bit positions in four rounds of eight
bits; probes of binary searches stay in the cache. What is counted bounds the time on a
device from below as soon as the batch is large enough to hide the launches.

Letters:
    N = pixels of one tree
"""

from typing import Final

from models.affinity.fast.boruvka import component_room

SORT: Final = 4 * 2 * (4 + 8)
"""Sorting one 32-bit key with its position."""
JUMP: Final = 24
"""Following one 64-bit pointer."""
GRID_PIXEL: Final = 196
"""A round on the grid, each pixel: compare labels, mask keys, smallest of four edges, scatter, relabel."""
GRID_COMPONENT: Final = 440
"""A round on the grid, each place for a component: read the choice, mark the edge, merge, renumber."""
GRID_ONCE: Final = 244
"""Packing the keys of a pixel's edges and reading off the chosen ones."""
TREE_COMPONENT: Final = 700
"""A round on a tree, each place for a component: choose, merge, renumber, keep the edges left; the layout."""
TREE_CLIMB: Final = 46
"""One step of an edge towards the component it rests at."""
TREE_ONCE: Final = 508
"""Reading the edges of a pixel, and its places, runs and parents; without the two sorts."""
SPREAD_TREE: Final = 290
"""Widening the structure and the affinities of a pixel, once for all channels."""
SPREAD_CHANNEL: Final = 280
"""Two gathers, two prefix sums, two scatters and what stands between them, in float64."""
STRUCTURE: Final = 24 + 4
"""The structure of a pixel and a float32 affinity."""
FIELD: Final = 4 + 4
"""A float32 field, read and written."""


def traffic_bytes(height: int, width: int, trees: int, channels: int) -> dict[str, int]:
    """Return the bytes moved by each phase of the propagation.

    Args:
        height: Pixels from top to bottom.
        width: Pixels from left to right.
        trees: Images, or weightings of their trees, in the batch.
        channels: Float32 fields on each tree.

    Returns:
        ``spanning_tree``: from float32 grid weights to the edges of the trees. ``hierarchy``: from weighted
        edges to clusters. ``spread``: one product. ``spread_floor``: the same if it were one kernel that
        reads the structure and the fields once and keeps all sums on the chip.
    """
    pixels = height * width
    room = component_room(pixels)[:-1]
    jumps = sum(count * max(count - 2, 0).bit_length() for count in room)
    total = sum(room)
    each_tree = {
        "spanning_tree": pixels * (GRID_ONCE + GRID_PIXEL * len(room))
        + GRID_COMPONENT * total
        + JUMP * jumps,
        "hierarchy": pixels * (TREE_ONCE + 2 * SORT + TREE_CLIMB * max(len(room) - 1, 0))
        + TREE_COMPONENT * total
        + JUMP * jumps,
        "spread": pixels * (SPREAD_TREE + SPREAD_CHANNEL * channels),
        "spread_floor": pixels * (STRUCTURE + FIELD * channels),
    }
    return {phase: trees * moved for phase, moved in each_tree.items()}
