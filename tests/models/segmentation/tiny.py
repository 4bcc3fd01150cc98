"""A segmenter small enough for tests, and one batch for it."""

from dataclasses import replace

import torch

from models.segmentation.build import build_segmenter
from models.segmentation.config import PredictionConfig, SegmenterTrainingConfig
from models.segmentation.objective import TrainingBatch

TRAINING = SegmenterTrainingConfig(
    seed=0,
    steps=6,
    batch_size=2,
    crop_size=64,
    smallest_zoom=0.9,
    largest_zoom=1.1,
    learning_rate=1e-3,
    weight_decay=0.01,
    warmup_fraction=0.2,
    gradient_norm=5.0,
    average_decay=0.9,
    image_scale=1.0,
    width=32,
    num_convolutions=1,
    mask_channels=4,
    window_size=12,
    window_margin=0.3,
    box_jitter=0.05,
    regions_per_image=3,
    projection_weight=1.0,
    global_weight=1.0,
    local_weight=1.0,
    affinity_warmup=2,
    zeta_image=0.05,
    zeta_label=0.05,
    zeta_local=0.1,
    local_kernel=3,
    local_iterations=2,
    log_every=2,
    checkpoint_every=2,
)
THRESHOLDS = PredictionConfig(
    score_threshold=0.0, suppression_iou=0.5, detections_per_image=7, mask_threshold=0.5
)


def training(**changes):
    return replace(TRAINING, **changes)


def tiny_segmenter(num_categories=3, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_segmenter(TRAINING.architecture(num_categories))


def tiny_batch():
    """Two images; the second holds no region."""
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.1
    image[0, :, 8:24, 10:30] += 0.8
    image[0, :, 40:60, 36:50] += 0.6
    boxes = torch.tensor([[10.0, 8.0, 30.0, 24.0], [36.0, 40.0, 50.0, 60.0]])
    return TrainingBatch(
        image_BCHW=image,
        boxes=(boxes, torch.zeros(0, 4)),
        categories=(torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)),
        image_ids=(11, 12),
    )
