"""The sentences between the tables, filled with this candidate's numbers."""

from collections.abc import Mapping
from typing import Any

from tasks.report.sources import ReportInputs, Sources

_METHODS = {"percentile": "Percentile", "bca": "Bias-corrected and accelerated (BCa)"}


def page_words(inputs: ReportInputs, sources: Sources) -> dict[str, Any]:
    """Return every heading and lead that depends on the inputs, and the list of sections."""
    decision, metrics, total = sources.decision, sources.metrics, len(sources.scores)
    shown = min(inputs.images, total)
    against = ", the dashed line is the champion" if sources.champion_curves else ""
    return {
        "against": _against(decision),
        "sections": _sections(sources),
        "metrics_lead": _metrics_lead(metrics, decision),
        "gate_lead": (
            "A model is promoted when every limit is met, the interval of the primary metric lies above its "
            "margin, and no other interval reaches below its own. One across its margin decides nothing."
        ),
        "no_comparison": (
            "There is no champion yet."
            if decision["champion"] is None
            else "Nothing could be compared; the reasons at the top say why."
        ),
        "curves_lead": f"Interpolated as in COCO, over all detections{against}.",
        "sizes_lead": "Small regions are the hard ones: quality by the area of the true region.",
        "training_lead": "Bold: smoothed over about a twentieth of the training. Faint: as logged.",
        "worst_title": f"The {shown} worst images" if shown < total else f"All {total} images, worst first",
        "random_title": f"{shown} random images" if shown < total else f"All {total} images, shuffled",
        "random_lead": f"Nobody chose them: drawn from {total} images with seed {inputs.seed}.",
        "definitions": _definitions(metrics, decision),
    }


def _against(decision: Mapping[str, Any]) -> str:
    champion = decision["champion"]
    return "no champion yet" if champion is None else f"compared with champion {champion['sequence']}"


def _sections(sources: Sources) -> list[tuple[str, str]]:
    sections = [
        ("metrics", "Metrics", True),
        ("gate", "Gate", True),
        ("curves", "Curves", bool(sources.curves["precision_recall"])),
        ("sizes", "Sizes", bool(sources.curves["sizes"])),
        ("training", "Training", len(sources.history) > 1),
        ("worst", "Worst", True),
        ("random", "Random", True),
        ("lineage", "Lineage", True),
    ]
    return [(slug, name) for slug, name, present in sections if present]


def _metrics_lead(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    level = f"{100 * (1 - decision['alpha']):g}"
    coverage = metrics["coverage"]
    scored = f"{coverage['images_scored']} of {coverage['images_expected']} images were scored"
    return (
        f"Split “{metrics['dataset']['split']}”; {scored}. Below each value its "
        f"{level} % interval: the images were drawn anew {decision['resamples']:,} times (bootstrap)."
    )


def _definitions(metrics: Mapping[str, Any], decision: Mapping[str, Any]) -> list[tuple[str, str]]:
    definition = metrics["definition"]
    return [
        ("Metrics", "; ".join(definition["conventions"]) + "."),
        (
            "Intervals",
            f"{_METHODS[decision.get('interval', 'percentile')]} bootstrap over images; of a difference, on "
            "the same resamples for both models.",
        ),
        (
            "Per image",
            "Matched one to one by falling score at mask IoU 0.5. IoU is the mean of the matched pairs.",
        ),
        (
            "Pictures",
            "Reduced to 384 pixels; very dark ones are brightened, and say so. Outlines are simplified.",
        ),
        ("Definition", f"{definition['name']}, sha256 {metrics['definition_sha256']}"),
    ]
