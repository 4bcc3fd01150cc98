"""What do fewer visual tokens save, and what does the projector itself cost?

    python -m benchmarks.projectors

Counted, on the meta device: parameters and floating point operations of every projector at the published size
(CLIP ViT-L/14 at 336 pixels, a language model of 7 billion parameters), and the projector's share of prefill,
of a training step and of one that trains the projector alone (the language model frozen).

Measured: prefill and training steps with 576, 144, 64 and 36 visual tokens beside each other in one run, on a
language model whose every width is an eighth of that and whose depth is the same, so that shares stay
comparable. Parts that are done are kept in the file; ``--again`` measures anew. Takes about three minutes on
two quiet cores.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from benchmarks.machine import describe
from benchmarks.projector_operations import BASELINE, SCALES, Shape, counted, projectors
from benchmarks.timing import Timing, interleave
from models.region_lm.projectors.interface import Projector

OUT = Path(__file__).resolve().parent / "results" / "projectors.json"
COMPARED = (BASELINE, *(f"token_packer x{scale}" for scale in SCALES))
"""Measured: 576, 144, 64 and 36 visual tokens."""
SEVEN_BILLION = Shape(
    channels=1024, grid=24, width=4096, ffn=11008, layers=32, heads=32, vocabulary=32000, text=64
)
EIGHTH = Shape(channels=128, grid=24, width=512, ffn=1376, layers=32, heads=4, vocabulary=4000, text=64)


def main() -> None:
    """Count, measure, print the tables, store the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="measurements of each method")
    parser.add_argument("--again", action="store_true", help="measure anew what the file has already")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    document: dict[str, Any] = (
        json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
    )
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "counted": lambda: counted(SEVEN_BILLION),
        "measured": lambda: measured(EIGHTH, runs=arguments.runs),
    }
    for name, part in parts.items():
        if arguments.again or name not in document:
            document[name] = part()
            arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(table(document))


class Sample:
    """One projector in front of the common language model, with a sample for both."""

    def __init__(self, projector: Projector, model: LlamaForCausalLM, shape: Shape) -> None:
        self.projector, self.model = projector, model
        self.features = shape.features()
        self.text = torch.randint(shape.vocabulary, (1, shape.text))
        visual = torch.full((1, projector.num_tokens), -100)
        self.labels = torch.cat([visual, self.text], dim=1)
        self.gradient = torch.randn(1, projector.num_tokens, shape.width)
        parameters = [*model.parameters(), *projector.parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=1e-6)

    def prefill(self) -> None:
        """Fill the cache and predict the first token."""
        with torch.no_grad():
            self.model(inputs_embeds=self._embeddings(), use_cache=True, logits_to_keep=1)

    def train(self) -> None:
        """Take one step of projector and language model."""
        self.model(inputs_embeds=self._embeddings(), labels=self.labels).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def project(self) -> None:
        """Do the projector's part of a prefill."""
        with torch.no_grad():
            self.projector(self.features)

    def train_projector(self) -> None:
        """Do the projector's part of a step, without the optimizer."""
        self.projector(self.features).backward(self.gradient)
        self.projector.zero_grad()

    def _embeddings(self) -> Tensor:
        text = self.model.get_input_embeddings()(self.text)
        return torch.cat([self.projector(self.features), text], dim=1)


def measured(shape: Shape, *, runs: int) -> dict[str, Any]:
    """Time prefill and training with each number of visual tokens, all in turn, a sample at a time."""
    load = os.getloadavg()[0]
    torch.manual_seed(0)
    model, builders = shape.language_model(), projectors(shape)
    samples = {name: Sample(builders[name](), model, shape) for name in COMPARED}
    methods = {
        f"{name}: {step}": getattr(sample, step)
        for name, sample in samples.items()
        for step in ("prefill", "train", "project", "train_projector")
    }
    times, _ = interleave(methods, runs=runs)
    rows = []
    for name, sample in samples.items():
        visual, steps = sample.projector.num_tokens, {}
        for step, own in (("prefill", "project"), ("train", "train_projector")):
            whole, part, first = (
                times[f"{of}: {what}"] for of, what in ((name, step), (name, own), (BASELINE, step))
            )
            steps[step] = _compared(whole, part, first, length=visual + shape.text)
        rows.append({"projector": name, "visual_tokens": visual, **steps})
    return {
        "machine": describe(),
        "load_before": load,
        "shape": asdict(shape),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "runs": runs,
        "rows": rows,
    }


def _compared(whole: Timing, part: Timing, baseline: Timing, *, length: int) -> dict[str, Any]:
    seconds = whole.median_ms / 1e3
    return {
        "step": asdict(whole),
        "projector_alone": asdict(part),
        "samples_per_second": round(1.0 / seconds, 4),
        "tokens_per_second": round(length / seconds, 1),
        "speed_over_mlp": round(baseline.median_ms / whole.median_ms, 3),
        "speed_over_mlp_at_best": round(baseline.min_ms / whole.min_ms, 3),
        "projector_share": round(part.median_ms / whole.median_ms, 5),
        "projector_share_at_best": round(part.min_ms / whole.min_ms, 5),
    }


def table(document: dict[str, Any]) -> str:
    """Lay the numbers out as two tables."""
    lines = ["counted: projector | visual tokens | parameters | share of prefill, training, alignment"]
    for row in document["counted"]["projectors"]:
        shares = ", ".join(
            f"{100 * row['share'][step]:.2f} %" for step in ("prefill", "training", "alignment")
        )
        name, tokens = row["projector"], row["visual_tokens"]
        lines.append(f"{name:17} | {tokens:4} | {row['parameters']:11,} | {shares}")
    lines.append(
        "measured: projector | visual tokens | step | samples/s | tokens/s | over MLP | projector's share"
    )
    for row in document["measured"]["rows"]:
        for step in ("prefill", "train"):
            numbers = row[step]
            lines.append(
                f"{row['projector']:17} | {row['visual_tokens']:4} | {step:7} | "
                f"{numbers['samples_per_second']:7.3f} | {numbers['tokens_per_second']:8.1f} | "
                f"{numbers['speed_over_mlp']:5.2f} | {100 * numbers['projector_share']:.2f} %"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
