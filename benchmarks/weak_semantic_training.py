"""One training from scribbles and its score: network, losses, crops and evaluation of the product.

The methods of a seed share scribbles, first weights, crops and their order.

mIoU is that of ``evaluation.semantic``: pixels summed over all asked pictures, at their own size.

Shape suffixes:
    B = images of a step   I = asked pictures   K = classes   P = K and "none"   C = channels
    F = channels of the embedding   H = height   W = width
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.weak_pictures import SemanticProblem
from evaluation.semantic import count_confusion
from models.affinity.cascade import GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.tree_filter import TreeFilter
from models.blocks.loop import Losses, WeightAverage, train_steps
from models.blocks.precision import has_fast_bfloat16
from models.blocks.schedule import one_cycle
from models.segmentation.deeplab import DeepLabV3Plus, SemanticOutput, build_deeplab
from models.segmentation.mixed_precision import in_bfloat16
from models.segmentation.preprocessing import pad_to_stride
from models.segmentation.semantic_losses import SemanticAffinityLoss, TreeEnergyLoss, partial_cross_entropy
from models.segmentation.semantic_recipes import SemanticCropPolicy
from tasks.data.datasets import generator_of, image_order
from tasks.data.label_maps import IGNORED, target_table
from tasks.data.semantic_datasets import draw_semantic_crop

PARTIAL, TREE, OURS, FULL = METHODS = ("partial cross-entropy", "tree energy", "propagation", "full masks")
STRIDE = 32
"""Of the coarsest features."""
_IGNORE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """The loss that is asked about: zeta in units of colours in [0, 1]."""

    zeta_image: float
    zeta_label: float
    kernel_size: int
    zeta_local: float
    iterations: int
    global_weight: float
    local_weight: float
    prediction_trust: float = 1.0
    """Of a predicted pixel beside a labelled one; 1: as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """Numbers of the trainings of one problem."""

    steps: int
    crop: int
    smallest_scale: float
    largest_scale: float
    propagation: Propagation
    sigma: float
    """Of the tree energy loss, for colours."""
    tree_weight: float = 0.4
    """As in the release."""
    images_per_step: int = 4
    rate: float = 1e-3
    weight_decay: float = 1e-4
    average_decay: float = 0.98
    width: int = 64
    rates: tuple[int, ...] = (1, 2, 3)
    embedding: int = 16
    warmup: float = 0.25
    """Share of the steps over which what is added to the cross-entropy grows to its weight."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One training."""

    problem: SemanticProblem
    learning: Learning
    method: str
    """One of ``METHODS``."""
    seed: int
    targets: tuple[Tensor, ...] = field(repr=False)
    """Of each training picture: class index, unlabelled or padding."""


def train(lesson: Lesson) -> DeepLabV3Plus:
    """Train one model; it returns with the running mean of its weights."""
    learning = lesson.learning
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(lesson.seed)
        model = build_deeplab(
            "resnet18",
            num_classes=len(lesson.problem.classes),
            norm="group",
            width=learning.width,
            rates=learning.rates,
            embedding=learning.embedding,
        )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning.rate, weight_decay=learning.weight_decay, fused=True
    )
    average = WeightAverage(model, learning.average_decay)

    def losses_of_step(step: int) -> Losses:
        image_BCHW, label_BHW = draw_crops(lesson, step)
        return losses_of(lesson, model(image_BCHW), image_BCHW, label_BHW, step=step)

    def rate_of(step: int) -> float:
        return one_cycle(step, learning.steps, peak=learning.rate, warmup_fraction=0.1)

    with in_bfloat16(model, enabled=has_fast_bfloat16()):
        for _ in train_steps(
            model,
            losses_of_step,
            optimizer,
            average,
            first_step=0,
            num_steps=learning.steps,
            learning_rate_of=rate_of,
            gradient_norm=1.0,
        ):
            pass
    model.load_state_dict(average.weights)
    return model.eval()


def draw_crops(lesson: Lesson, step: int) -> tuple[Tensor, Tensor]:
    """Draw the crops of a step, colours in [0, 1] and targets."""
    learning, pictures = lesson.learning, lesson.problem.train
    policy = SemanticCropPolicy(
        size=learning.crop,
        smallest_scale=learning.smallest_scale,
        largest_scale=learning.largest_scale,
    )
    crops = []
    for place in range(learning.images_per_step):
        position = step * learning.images_per_step + place
        index = image_order(lesson.seed, position, len(pictures))
        generator = generator_of(lesson.seed, position, 2)
        crops.append(draw_semantic_crop(pictures[index].pixels, lesson.targets[index], policy, generator))
    images, labels = zip(*crops, strict=True)
    return torch.stack(images), torch.stack(labels)


def losses_of(
    lesson: Lesson, output: SemanticOutput, image_BCHW: Tensor, label_BHW: Tensor, *, step: int
) -> Losses:
    """Compute the weighted losses of a step, at the size of the crops."""
    learning, size = lesson.learning, label_BHW.shape[1:]
    logit_BKHW = functional.interpolate(output.logit_BKHW, size=size, mode="bilinear")
    losses = {"labelled": partial_cross_entropy(logit_BKHW, label_BHW)}
    ramp = min(1.0, step / max(1.0, learning.warmup * learning.steps))
    if lesson.method == TREE and output.embedding_BFHW is not None:
        feature_BFHW = functional.interpolate(output.embedding_BFHW, size=size, mode="bilinear")
        energy = TreeEnergyLoss(
            colour_filter=TreeFilter(sigma=learning.sigma, detach=False),
            feature_filter=TreeFilter(sigma=1.0, detach=False),
        )
        losses["tree"] = ramp * learning.tree_weight * energy(logit_BKHW, label_BHW, image_BCHW, feature_BFHW)
    if lesson.method == OURS:
        wanted = learning.propagation
        far, near = affinity_loss(wanted)(logit_BKHW, label_BHW, image_BCHW)
        losses["far"] = ramp * wanted.global_weight * far
        losses["near"] = ramp * wanted.local_weight * near
    return losses


def affinity_loss(wanted: Propagation) -> SemanticAffinityLoss:
    """Build the loss of both propagations."""
    return SemanticAffinityLoss(
        far=GlobalCascade(
            image_pass=GlobalPropagation(zeta=wanted.zeta_image),
            label_pass=GlobalPropagation(zeta=wanted.zeta_label),
            guidance2="prediction",
        ),
        near=LocalPropagation(
            kernel_size=wanted.kernel_size, zeta=wanted.zeta_local, iterations=wanted.iterations
        ),
        prediction_trust=wanted.prediction_trust,
    )


def count(model: DeepLabV3Plus, problem: SemanticProblem) -> NDArray[np.int64]:
    """Count the pixels of every asked picture by true and predicted class, shape (I, K, P)."""
    classes = range(len(problem.classes))
    tables = []
    with in_bfloat16(model, enabled=has_fast_bfloat16()):
        for number, picture in enumerate(problem.asked):
            height, width = picture.pixels.shape[1:]
            padded_CHW = pad_to_stride(picture.pixels.float() / 255.0, STRIDE)
            found_HW = model.classify(padded_CHW[None])[0, :height, :width].numpy()
            true_HW = target_table(classes)[picture.regions.labels()]
            true_HW[true_HW == IGNORED] = _IGNORE
            confusion = count_confusion(
                number, true_HW, found_HW, num_classes=len(classes), ignore_label=_IGNORE
            )
            tables.append(confusion.pixels_KP)
    return np.stack(tables)
