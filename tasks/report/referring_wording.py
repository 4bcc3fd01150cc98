"""The sentences of the page about referring expressions, filled with its numbers."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tasks.report import referring_tables
from tasks.report.referring_sources import ReferringInputs, ReferringSources

_WORDS: Final = {"promote": "Promote", "reject": "Reject", "inconclusive": "Inconclusive"}
_SENTENCES: Final = {
    "promote": "Every rule of the gate is proved to hold: this model may become champion.",
    "reject": "A rule of the gate is broken, or the evidence cannot be judged: nothing is promoted.",
    "inconclusive": "No rule is broken, but not every rule is proved to hold: nothing is promoted.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the gate said; nothing is judged here."""

    kind: str
    """``promote``, ``reject`` or ``inconclusive``: classes of the page's style."""
    word: str
    sentence: str
    objections: tuple[str, ...]
    reasons: tuple[str, ...]
    """Without the objections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Expressions under one heading."""

    slug: str
    title: str
    lead: str
    ids: tuple[int, ...]


def shown(text: str) -> str:
    """Make control characters of untrusted text visible; line ends stay, the rest is as it was written."""
    return "".join(
        f"\\x{ord(letter):02x}" if unicodedata.category(letter) == "Cc" and letter != "\n" else letter
        for letter in text
    )


def page_words(sources: ReferringSources) -> dict[str, Any]:
    """Return every heading and lead that depends on the inputs, and the list of sections."""
    dataset = sources.models[0].evaluation.metrics["dataset"]
    resampling = sources.resampling
    what = "boxes" if sources.kind == "boxes" else "masks"
    return {
        "title": " and ".join(model.name for model in sources.models),
        "over": f"Referring expressions, {what} · {sources.source}, split {dataset['split']}",
        "verdict": None if sources.decision is None else _verdict(sources.decision),
        "sentence": _sentence(sources),
        "metrics_lead": (
            f"{dataset['expressions']:,} expressions about {dataset['images']:,} images, all of them scored. "
            f"Below each value its {100 * (1 - resampling.alpha):g} % interval: the images, each with all "
            f"its expressions, were drawn anew {resampling.resamples:,} times."
        ),
        "facts": _facts(sources),
        "definitions": _definitions(sources),
    }


def galleries(
    chosen: Mapping[str, Sequence[int]], inputs: ReferringInputs, sources: ReferringSources
) -> list[Gallery]:
    """Name the galleries; one without an expression is left out."""
    total, first = len(sources.records), sources.models[0].name
    silent = int((sources.models[0].table["outcome"] == "no prediction").sum())
    words = {
        "worst": ("Worst", f"The lowest IoU of {first} first, of the expressions that it answered."),
        "changed": ("Most changed", "The largest difference of IoU between the two models first."),
        "random": (
            "Random",
            f"Nobody chose them: drawn from {total:,} expressions with seed {inputs.seed}.",
        ),
        "unanswered": (
            "No answer",
            f"{silent:,} of {total:,} answers of {first} could not be read; they count as wrong. Open one to "
            "read what was written, where that was kept.",
        ),
    }
    return [
        Gallery(slug=slug, title=words[slug][0], lead=words[slug][1], ids=tuple(ids))
        for slug, ids in chosen.items()
        if ids
    ]


def _verdict(decision: Mapping[str, Any]) -> Answer:
    kind, objections = decision["verdict"], tuple(decision["objections"])
    return Answer(
        kind=kind,
        word=_WORDS[kind],
        sentence=_SENTENCES[kind],
        objections=objections,
        reasons=tuple(text for text in decision["reasons"] if text not in objections),
    )


def _sentence(sources: ReferringSources) -> str:
    name = "ref_box.accuracy_50" if sources.kind == "boxes" else "ref_mask.giou"
    parts = [f"{model.values[name]:.3f} of {model.name}" for model in sources.models]
    return f"{referring_tables.label(name)}: {', '.join(parts)}."


def _facts(sources: ReferringSources) -> list[tuple[str, str]]:
    facts = [("Dataset", sources.models[0].evaluation.about["dataset_sha256"])]
    for model in sources.models:
        facts += [
            (f"Model {model.name}", model.evaluation.metrics["model_sha256"]),
            (f"Answers of {model.name}", model.evaluation.metrics["predictions_sha256"]),
            (f"Evaluation of {model.name}", model.evaluation.sha256),
        ]
    if sources.decision is not None:
        facts += [
            ("Decision", str(sources.decision["decision_id"])),
            ("Policy", str(sources.decision["policy_sha256"])),
        ]
    return facts


def _definitions(sources: ReferringSources) -> list[tuple[str, str]]:
    metrics, resampling = sources.models[0].evaluation.metrics, sources.resampling
    method = "BCa bootstrap" if resampling.method == "bca" else "Percentile bootstrap"
    origin = "the gate's own" if sources.decision is not None else "those of the page"
    return [
        ("Metrics", "; ".join(metrics["definition"]["conventions"]) + "."),
        (
            "Intervals",
            f"{method} over images, seed {resampling.seed}, {origin}; of a difference, on the same resamples "
            "for both models.",
        ),
        (
            "Right",
            "IoU of at least 0.50; where an expression speaks of nothing in the image, an answer of nothing.",
        ),
        ("Pictures", "Reduced to 384 pixels; very dark ones are brightened. Outlines are simplified."),
        ("Definition", f"{metrics['definition']['name']}, sha256 {metrics['definition_sha256']}"),
    ]
