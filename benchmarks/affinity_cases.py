"""The computations that the affinity benchmark times, each beside its peers.

Shape suffixes:
    B = images   R = instances   C = channels   H = height   W = width
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree
from torch import Tensor

from benchmarks.affinity_inputs import guidance, instances
from benchmarks.affinity_peers import Published, grid_graph, unfold_propagation
from models.affinity.backends import Backend, problems
from models.affinity.cascade import GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import minimum_spanning_tree

ZETA_FIRST, ZETA_SECOND, ZETA_LOCAL = 0.01, 0.07, 0.15
"""The paper's, for images normalised as ImageNet's."""
WINDOW, SWEEPS = 5, 20
FIRST, SECOND = GlobalPropagation(zeta=ZETA_FIRST), GlobalPropagation(zeta=ZETA_SECOND)
LOCAL = LocalPropagation(kernel_size=WINDOW, zeta=ZETA_LOCAL, iterations=SWEEPS)
OURS, PUBLISHED, SCIPY, UNFOLD = "ours", "published", "scipy tree alone", "unfold"
PEER_PIXELS = 2048**2
"""A peer that costs a microsecond a pixel is left out above this size."""
BACKEND_PIXELS: dict[Backend, int] = {"reference": 32**2, "cpu": 4096**2, "torch": 1024**2}
"""Where a backend's curve on a processor ends."""
Methods = dict[str, Callable[[], object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One size of one computation."""

    name: str
    height: int
    width: int
    images: int = 1
    instances: int = 1
    """Of all images together."""
    channels: int = 3
    """Of the guidance; in "many channels", of the field."""

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make guidance, soft masks (R, 1, H, W), box masks (R, 1, H, W) and the image of each instance."""
        soft_RHW, box_RHW = instances(self.instances, self.height, self.width)
        image_R = torch.arange(self.images).repeat_interleave(self.instances // self.images)
        image_BCHW = guidance(self.images, self.height, self.width, self.channels)
        return image_BCHW, soft_RHW[:, None], box_RHW[:, None], image_R


def tree_and_pass(cases: Iterable[Case], published: Published | None) -> Iterator[tuple[Case, Methods]]:
    """Build the trees of images and propagate one channel over each."""
    for case in cases:
        image_BCHW, x_B1HW, _, _ = replace(case, instances=case.images).inputs()
        methods: Methods = {
            OURS: partial(_tree_and_pass, image_BCHW, x_B1HW),
            "ours, tree alone": partial(minimum_spanning_tree, image_BCHW),
            "ours, pass alone": partial(FIRST, x_B1HW, minimum_spanning_tree(image_BCHW)),
        }
        small = case.height * case.width <= PEER_PIXELS
        if published is not None and small:
            methods[PUBLISHED] = partial(_published_pass, published, image_BCHW, x_B1HW)
        if case.images == 1 and case.channels == 3 and small:
            methods[SCIPY] = partial(scipy_tree, grid_graph(image_BCHW[0]))
        yield case, methods


def many_channels(cases: Iterable[Case]) -> Iterator[tuple[Case, Methods]]:
    """Propagate many channels over one tree, beside one channel."""
    for case in cases:
        image_BCHW, x_R1HW, _, _ = replace(case, instances=case.channels, channels=3).inputs()
        x_1CHW = x_R1HW.transpose(0, 1).contiguous()
        one_11HW, structure = x_1CHW[:, :1].contiguous(), minimum_spanning_tree(image_BCHW)
        fields = {"one channel": one_11HW, "all channels": x_1CHW}
        yield case, {name: partial(_tree_and_pass, image_BCHW, x) for name, x in fields.items()}
        alone = replace(case, name=f"{case.name}, pass alone")
        yield alone, {name: partial(FIRST, x, structure) for name, x in fields.items()}


def cascade(cases: Iterable[Case], published: Published | None) -> Iterator[tuple[Case, Methods]]:
    """Propagate instances twice over the tree of their image, at last weighted by their own first result."""
    for case in cases:
        image_BCHW, x_R1HW, _, image_R = case.inputs()
        methods: Methods = {OURS: partial(_cascade, image_BCHW, x_R1HW, image_R)}
        if published is not None:
            run = partial(_published_cascade, published, image_BCHW, x_R1HW, image_R)
            methods[f"{PUBLISHED}, a tree an image"] = partial(run, shared=True)
            methods[f"{PUBLISHED}, a tree an instance"] = partial(run, shared=False)
        yield case, methods


def local(cases: Iterable[Case]) -> Iterator[tuple[Case, Methods]]:
    """Propagate instances inside their boxes, window by window."""
    for case in cases:
        image_BCHW, x_R1HW, box_R1HW, image_R = case.inputs()
        if case.name == LOCAL_UNMASKED:
            box_R1HW = torch.ones_like(box_R1HW)
        methods: Methods = {
            OURS: partial(LOCAL, x_R1HW, image_BCHW, box_R1HW, image_R=image_R),
            UNFOLD: partial(_unfold, x_R1HW, image_BCHW, box_R1HW, image_R),
        }
        yield case, methods


LOCAL_UNMASKED = "local without boxes"


def backends(cases: Iterable[Case], device: torch.device) -> Iterator[tuple[Case, Methods]]:
    """Run tree and pass, and local propagation, with every backend that works on a device."""
    cannot = problems()
    on_cpu: tuple[Backend, ...] = ("cpu", "torch", "reference")
    wanted = on_cpu if device.type == "cpu" else ("torch", "triton")
    usable = [name for name in wanted if cannot[name] is None]
    for case in cases:
        image_BCHW, x_R1HW, box_R1HW, _ = (tensor.to(device) for tensor in case.inputs())
        pixels = case.height * case.width
        sized = [name for name in usable if device.type != "cpu" or pixels <= BACKEND_PIXELS[name]]
        whole: Methods = {name: partial(_tree_and_pass, image_BCHW, x_R1HW, backend=name) for name in sized}
        yield case, whole
        boxed: Methods = {name: partial(LOCAL, x_R1HW, image_BCHW, box_R1HW, backend=name) for name in sized}
        yield replace(case, name=f"{case.name}, local"), boxed


def _tree_and_pass(
    image_BCHW: Tensor, x_BCHW: Tensor, *, backend: Backend | Literal["auto"] = "auto"
) -> Tensor:
    return FIRST(x_BCHW, minimum_spanning_tree(image_BCHW, backend=backend))


def _cascade(image_BCHW: Tensor, x_R1HW: Tensor, image_R: Tensor) -> Tensor:
    far = GlobalCascade(image_pass=FIRST, label_pass=SECOND)
    return far(x_R1HW, minimum_spanning_tree(image_BCHW), image_R=image_R)


def _published_pass(peer: Published, image_BCHW: Tensor, x_B1HW: Tensor) -> Tensor:
    return peer.propagate(x_B1HW, image_BCHW, peer.spanning_tree(image_BCHW), ZETA_FIRST)


def _published_cascade(
    peer: Published, image_BCHW: Tensor, x_R1HW: Tensor, image_R: Tensor, *, shared: bool
) -> Tensor:
    """Run the reader's module as the release's two heads do: every instance has its image, or also a tree."""
    own_RCHW = image_BCHW[image_R]
    tree = peer.spanning_tree(image_BCHW)[image_R] if shared else peer.spanning_tree(own_RCHW)
    first_R1HW = peer.propagate(x_R1HW, own_RCHW, tree, ZETA_FIRST)
    return peer.propagate(first_R1HW, first_R1HW, tree, ZETA_SECOND)


def _unfold(x_R1HW: Tensor, image_BCHW: Tensor, box_R1HW: Tensor, image_R: Tensor) -> Tensor:
    return unfold_propagation(
        x_R1HW[:, 0],
        image_BCHW[image_R],
        box_R1HW[:, 0],
        kernel_size=WINDOW,
        zeta=ZETA_LOCAL,
        iterations=SWEEPS,
    )[:, None]
