"""Every number of the segmenter: its shape, its training, its predictions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterConfig:
    """The shape of the network; stored beside its weights."""

    num_categories: int
    """Number of categories, at least 1."""
    image_scale: float
    """Images are enlarged by this factor before the network sees them."""
    width: int
    """Channels of the feature pyramid and the heads. A multiple of 32."""
    num_convolutions: int
    """Length of the two towers of the detection head."""
    mask_channels: int
    """Channels of the features that the mask head of each region reads."""
    window_size: int
    """Samples along each side of a region's window."""
    window_margin: float
    """The window reaches beyond the box by this fraction of the box's side, on each side."""

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built."""
        if self.num_categories < 1:
            raise ValueError(f"num_categories must be at least 1, got {self.num_categories}.")
        if self.width < 32 or self.width % 32:
            raise ValueError(f"width must be a multiple of 32, got {self.width}.")
        if not self.image_scale > 0.0:
            raise ValueError(f"image_scale must be positive, got {self.image_scale}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterTrainingConfig:
    """How the segmenter is built and trained: the section ``segmenter`` of ``params.yaml``."""

    seed: int
    """Decides the first weights, the order of the images and every augmentation."""
    steps: int
    """Optimizer steps."""
    batch_size: int
    """Crops a step."""
    crop_size: int
    """Side of a crop, in pixels of the enlarged image. A multiple of 32."""
    smallest_zoom: float
    """Lower end of the random zoom of a crop (log-uniform)."""
    largest_zoom: float
    """Upper end of the random zoom of a crop."""
    learning_rate: float
    """Peak of the one-cycle schedule of AdamW."""
    weight_decay: float
    """Of matrices and kernels; biases and norms do not decay."""
    warmup_fraction: float
    """Share of the steps during which the learning rate rises."""
    gradient_norm: float
    """Gradients longer than this are shortened to it."""
    average_decay: float
    """Decay a step of the running mean of the weights; the mean is what is saved."""
    image_scale: float
    """See ``SegmenterConfig``; the fields down to ``window_margin`` are its shape."""
    width: int
    """See ``SegmenterConfig``."""
    num_convolutions: int
    """See ``SegmenterConfig``."""
    mask_channels: int
    """See ``SegmenterConfig``."""
    window_size: int
    """See ``SegmenterConfig``."""
    window_margin: float
    """See ``SegmenterConfig``."""
    box_jitter: float
    """Windows of training boxes move and stretch by up to this fraction of the side."""
    regions_per_image: int
    """At most so many regions of a crop, drawn at random, get a mask loss."""
    projection_weight: float
    """Weight of the projection loss."""
    global_weight: float
    """Weight of the loss to the globally propagated labels. 0 leaves propagation out."""
    local_weight: float
    """Weight of the loss to the locally propagated labels. 0 leaves propagation out."""
    affinity_warmup: int
    """Steps over which the two weights above rise from zero."""
    zeta_image: float
    """Bandwidth of the first global pass; colours of a window span [0, 1]."""
    zeta_label: float
    """Bandwidth of the second global pass, on labels in [0, 1]."""
    zeta_local: float
    """Bandwidth of the local propagation; colours of a window span [0, 1]."""
    local_kernel: int
    """Side of the local window, in samples. Odd."""
    local_iterations: int
    """Sweeps of the local propagation."""
    log_every: int
    """Steps between two lines of the history."""
    checkpoint_every: int
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        """Refuse runs that cannot start."""
        for name in ("steps", "batch_size", "log_every", "checkpoint_every", "regions_per_image"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.crop_size < 32 or self.crop_size % 32:
            raise ValueError(f"crop_size must be a multiple of 32, got {self.crop_size}.")
        if not 0.0 < self.smallest_zoom <= self.largest_zoom:
            raise ValueError(
                f"smallest_zoom must be positive and at most largest_zoom, "
                f"got {self.smallest_zoom} and {self.largest_zoom}."
            )

    def architecture(self, num_categories: int) -> SegmenterConfig:
        """Return the shape of the network for a number of categories."""
        return SegmenterConfig(
            num_categories=num_categories,
            image_scale=self.image_scale,
            width=self.width,
            num_convolutions=self.num_convolutions,
            mask_channels=self.mask_channels,
            window_size=self.window_size,
            window_margin=self.window_margin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionConfig:
    """What counts as a detection: the section ``predict`` of ``params.yaml``."""

    score_threshold: float
    """Detections below this score are left out."""
    suppression_iou: float
    """Of two boxes of a category that overlap by more than this IoU the lower-scored one is left out."""
    detections_per_image: int
    """At most so many detections of an image, the best first."""
    mask_threshold: float
    """A pixel belongs to a region when its probability is at least this."""

    def __post_init__(self) -> None:
        """Refuse thresholds that are not fractions."""
        for name in ("score_threshold", "suppression_iou", "mask_threshold"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.detections_per_image < 1:
            raise ValueError(f"detections_per_image must be at least 1, got {self.detections_per_image}.")


DEFAULT_PREDICTION = PredictionConfig(
    score_threshold=0.3, suppression_iou=0.4, detections_per_image=500, mask_threshold=0.4
)
"""What a model that was just trained holds, until ``configure_segmenter`` writes what was asked for."""
