"""The systems of the benchmark: recipes, training on features that are kept, and answers.

Every part is the product's own; the recipe is ``osprey_tiny`` with changes. The encoder is taught before and
does not learn any more, so what it sees of an image is computed once and looked up by number from then on.

Shape suffixes:
    T = canvases   N = tokens of a canvas   C = channels
"""

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.region_mllm_batches import KEPT, join
from benchmarks.region_mllm_parts import rise_and_fall
from benchmarks.region_mllm_world import Shown, Split, Topic
from models.blocks.loop import WeightAverage
from models.region_lm.assembly import new_region_mllm
from models.region_lm.batches import RegionBatch
from models.region_lm.build import Vision
from models.region_lm.generation import generate
from models.region_lm.hub import RegionMLLM
from models.region_lm.packing import group_by_length
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.recipes import RegionRecipe
from models.region_lm.trainable import begin_stage, parameter_groups
from models.vision.canvas import stretch
from models.vision.features import VisionFeatures
from tasks.data.shapes_world import Crowding
from tasks.operations.region_files import read_region_recipe

ROOT = Path(__file__).resolve().parents[1]
_LONGEST_ANSWER, _AT_ONCE = 10, 100
_MEASURED = 50
"""Images."""

_PARTS = (
    "model.vision={convnext: {image: 128, dims: [16, 32, 48, 64], depths: [1, 1, 2, 1], token_level: 2, "
    "layer_scale: 1.0}}",
    "language={family: qwen3, vocabulary: 512, width: 64, ffn: 128, layers: 3, heads: 4, kv_heads: 4, "
    "max_positions: 1024, rope_theta: 1000000.0, tie_embeddings: true, "
    "initializer_range: 0.125}",
)
_PROJECTORS = {
    "mlp": "{kind: mlp}",
    "token_packer": "{kind: token_packer, scale: 2, heads: 4}",
    "average_pool": "{kind: average_pool, scale: 2}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system and what it is about."""

    topic: Topic
    shown: Shown
    crowding: Crowding
    epochs: int
    """Over the images; each with other questions."""
    changes: tuple[str, ...]
    """Of the recipe, as ``--set`` takes them."""


_RATE = "3.0e-3"
"""Peak learning rate of every part."""


def _system(
    topic: Topic,
    projector: str,
    *,
    epochs: int,
    shown: Shown = "mask",
    crowding: Crowding = "apart",
) -> System:
    parts = ("projector", "language", *(("regions",) if topic == "regions" else ()))
    trained = ", ".join(f"{{part: {part}, learning_rate: {_RATE}}}" for part in parts)
    return System(
        topic=topic,
        shown=shown,
        crowding=crowding,
        epochs=epochs,
        changes=(
            *_PARTS,
            f"model.projector={_PROJECTORS[projector]}",
            *(("model.regions=null",) if topic == "images" else ()),
            f"stages=[{{name: instruct, train: [{trained}], global_batch: 16, epochs: 1, max_length: 1024, "
            "warmup_ratio: 0.05, weight_decay: 0.01}]",
        ),
    )


SYSTEMS = {
    "osprey": _system("regions", "mlp", epochs=8),
    "mlp": _system("images", "mlp", epochs=18),
    "token_packer": _system("images", "token_packer", epochs=18),
    "average_pool": _system("images", "average_pool", epochs=18),
    "mask": _system("regions", "mlp", epochs=8, crowding="overlapping"),
    "box": _system("regions", "mlp", epochs=8, crowding="overlapping", shown="box"),
}


class KeptFeatures(nn.Module):
    """Stands where the encoder stood and looks up what it saw.

    Args:
        encoder: Taught.
        split: Images that it sees, once.
    """

    def __init__(self, encoder: Vision, split: Split) -> None:
        super().__init__()
        self.grid = encoder.grid
        pixels = [stretch(scene.image, encoder.side).pixels_T3HW for scene in split.scenes]  # type: ignore[union-attr]
        with torch.no_grad():
            seen = [
                encoder({"convnext": torch.cat(pixels[first : first + 50])})
                for first in range(0, len(pixels), 50)
            ]
        self.tokens_TNC = torch.cat([part.tokens_TNC for part in seen])
        self.levels = tuple(torch.cat(level) for level in zip(*(part.levels for part in seen), strict=True))

    def forward(self, pixels: Mapping[str, Tensor]) -> VisionFeatures:
        """Return the features of the canvases whose numbers stand where pixels would."""
        place_T = pixels[KEPT]
        return VisionFeatures(
            tokens_TNC=self.tokens_TNC[place_T],
            grid=self.grid,
            levels=tuple(level[place_T] for level in self.levels),
        )


def recipe_of(system: System) -> RegionRecipe:
    """Read the recipe of a system."""
    return read_region_recipe("osprey_tiny", list(system.changes), ROOT)


def new_system(
    system: System,
    tokenizer: PreTrainedTokenizerFast,
    encoder: Vision,
    language: PreTrainedModel,
    *,
    seed: int,
) -> tuple[RegionProcessor, RegionMLLM]:
    """Build a system around copies of what was taught before; its other weights follow from the seed."""
    processor = new_processor(copy.deepcopy(tokenizer), recipe_of(system).model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return processor, new_region_mllm(processor, copy.deepcopy(language), vision=copy.deepcopy(encoder))


@torch.no_grad()
def match_words(model: RegionMLLM, kept: KeptFeatures) -> None:
    """Scale the last layer of a fresh projector, in place, so that its tokens are as long as words.

    Tokens of random projectors differ six-fold in length. One whose tokens are far shorter than words is
    drowned by what the layers of the language model add, and starts late for that alone.
    """
    tokens_TMD = model.projector(kept({KEPT: torch.arange(min(_MEASURED, len(kept.tokens_TNC)))}))
    last = [layer for layer in model.projector.modules() if isinstance(layer, nn.Linear)][-1]
    ratio = _length(model.get_input_embeddings().weight) / _length(tokens_TMD)
    for weight in last.parameters():
        weight.mul_(ratio)


def _length(vectors: Tensor) -> Tensor:
    return vectors.square().mean().sqrt()


def train(
    model: RegionMLLM, recipe: RegionRecipe, kept: KeptFeatures, samples: Sequence[RegionBatch], *, seed: int
) -> dict[str, float]:
    """Train the stage of a recipe in place, each sample once; returns what it cost."""
    start = time.process_time(), time.monotonic()
    stage = recipe.stages[0]
    begin_stage(model, stage)
    model.vision = kept
    generator = torch.Generator().manual_seed(seed)
    lengths = [len(batch.encoded[0].ids) for batch in samples]
    order = group_by_length(lengths, stage.global_batch, generator)
    optimizer = torch.optim.AdamW(parameter_groups(model, stage), betas=(0.9, 0.98))
    peaks = [group["lr"] for group in optimizer.param_groups]
    learning = [weight for group in optimizer.param_groups for weight in group["params"]]
    warmup = max(1, math.ceil(stage.warmup_ratio * len(order)))
    average, last = WeightAverage(model, 0.98), 0.0
    model.train()
    for step, numbers in enumerate(order):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * rise_and_fall(step, len(order), warmup=warmup)
        loss = model(join([samples[number] for number in numbers]), logits="labels").loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        average.update(model, step + 1)
        last = loss.item()
    model.load_state_dict(average.weights)
    return {
        "steps": len(order),
        "last_loss": round(last, 4),
        "wall_seconds": round(time.monotonic() - start[1], 1),
        "processor_seconds": round(time.process_time() - start[0], 1),
    }


def answers(
    model: RegionMLLM, processor: RegionProcessor, kept: KeptFeatures, batches: Sequence[RegionBatch]
) -> list[str]:
    """Let a model answer questions, the likeliest words, in the order of the questions."""
    before, model.vision = model.vision, kept
    texts: list[str] = []
    for first in range(0, len(batches), _AT_ONCE):
        ids = generate(model, join(batches[first : first + _AT_ONCE]), max_new_tokens=_LONGEST_ANSWER)
        texts += [processor.decode(answer) for answer in ids]
    model.vision = before
    return texts
