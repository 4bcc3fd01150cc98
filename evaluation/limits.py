"""Rules that look at the candidate alone: floors, ceilings, categories, single images, sample sizes."""

from collections.abc import Sequence

import numpy as np

from evaluation.bootstrap import counted, on_images
from evaluation.decision import LimitResult, NotJudged
from evaluation.evidence import Evidence
from evaluation.expressions import Expressions
from evaluation.policy import Ceiling, ClassFloor, MustPass, Policy
from evaluation.proportions import wilson_upper
from evaluation.tables import Tables
from evaluation.weighted import by_category


def apply_limits(candidate: Evidence, policy: Policy) -> list[LimitResult]:
    """Apply the limits on the values that the evidence states.

    Args:
        candidate: Whatever it is; a value that is none misses every limit.
        policy: The rules.

    Returns:
        One result for each floor, then for each ceiling on the mean.
    """
    values = candidate.valid_metrics()
    results = []
    for floor in policy.floors:
        value = values.get(floor.metric)
        passed = value is not None and value >= floor.at_least
        results.append(LimitResult(metric=floor.metric, value=value, at_least=floor.at_least, passed=passed))
    for ceiling in policy.ceilings:
        if not ceiling.each_image:
            value = values.get(ceiling.metric)
            passed = value is not None and value <= ceiling.at_most
            results.append(
                LimitResult(metric=ceiling.metric, value=value, at_most=ceiling.at_most, passed=passed)
            )
    return results


def apply_single_limits(candidate: Evidence, policy: Policy) -> tuple[list[LimitResult], list[str]]:
    """Apply the limits on single categories and images, and the sample sizes, read from the tables.

    Args:
        candidate: Without objections so far.
        policy: The rules.

    Returns:
        Results, of each rule those that miss it or the closest one; and objections, each a sentence.
    """
    results: list[LimitResult] = []
    objections = _too_few(candidate, policy)
    for floor in policy.class_floors:
        found, missing = _of_categories(candidate, floor)
        results += found
        objections += missing
    for rule in policy.must_pass:
        found, missing = _of_images(candidate, rule)
        results += found
        objections += missing
    results += [_of_fullest(candidate, ceiling) for ceiling in policy.ceilings if ceiling.each_image]
    return results, [f"candidate: {line}." for line in objections]


def limit_sentence(limit: LimitResult) -> str:
    """Say what a limit asked for and what came; the value must be there."""
    rule = f"at least {limit.at_least}" if limit.at_least is not None else f"at most {limit.at_most}"
    what = limit.metric
    what += "" if limit.category is None else f" of category {limit.category!r}"
    what += "" if limit.image_id is None else f" on image {limit.image_id}"
    sure = "" if limit.upper is None else f" (of {limit.objects} regions, {limit.upper:.4f} at most)"
    return f"{what} is {limit.value:.4f}{sure}, {'and' if limit.passed else 'but'} must be {rule}."


def left_out(candidate: Evidence, policy: Policy) -> list[NotJudged]:
    """List the categories that the floors for single categories leave out, for they have too few regions.

    Args:
        candidate: Without objections.
        policy: The rules.
    """
    tables = candidate.tables
    if isinstance(tables, Expressions):
        return []
    found = []
    for floor in policy.class_floors:
        for name in floor.categories or tables.categories:
            objects = _objects(tables, name)
            if name in tables.categories and objects < floor.min_objects:
                found.append(
                    NotJudged(
                        metric=floor.metric, category=name, objects=objects, min_objects=floor.min_objects
                    )
                )
    return found


def left_out_sentences(left: Sequence[NotJudged]) -> list[str]:
    """Say of each metric which categories were not judged."""
    sentences = []
    for metric in dict.fromkeys(item.metric for item in left):
        of_metric = [item for item in left if item.metric == metric]
        names = ", ".join(f"{item.category!r} ({item.objects})" for item in of_metric)
        least = max(item.min_objects for item in of_metric)
        sentences.append(f"{metric} is not judged for categories of fewer than {least} regions: {names}.")
    return sentences


def _too_few(candidate: Evidence, policy: Policy) -> list[str]:
    found = []
    for size in policy.sample_sizes:
        images, objects = counted(candidate.tables, size.metric)
        if not (images >= size.images and objects >= size.objects):
            found.append(
                f"{size.metric} rests on {objects} objects in {images} images, at least {size.objects} in "
                f"{size.images} are needed"
            )
    return found


def _of_categories(candidate: Evidence, floor: ClassFloor) -> tuple[list[LimitResult], list[str]]:
    tables = candidate.tables
    if isinstance(tables, Expressions):
        return [], [f"{floor.metric} cannot be told by category: there are expressions only"]
    values = by_category(tables, floor.metric)
    names = floor.categories or tuple(tables.categories)
    unknown = [name for name in names if name not in tables.categories]
    judged = [name for name in names if name not in unknown and _objects(tables, name) >= floor.min_objects]
    absent = [
        f"category {name!r} has no region, so {floor.metric} of it is undefined"
        for name in [*unknown, *judged]
        if name not in values
    ]
    if not judged and not absent:
        least = max(1, floor.min_objects)
        absent.append(f"no category has {least} regions, so the floor of {floor.metric} judges nothing")
    results = [_of_category(tables, floor, name, values[name]) for name in judged if name in values]
    return _telling(results), absent


def _of_category(tables: Tables, floor: ClassFloor, name: str, value: float) -> LimitResult:
    objects, upper = None, None
    if floor.confidence is not None:
        objects = _objects(tables, name)
        upper = wilson_upper(value, objects=objects, confidence=floor.confidence)
    return LimitResult(
        metric=floor.metric,
        value=value,
        at_least=floor.at_least,
        category=name,
        objects=objects,
        upper=upper,
        passed=(value if upper is None else upper) >= floor.at_least,
    )


def _objects(tables: Tables, category: str) -> int:
    return int(tables.regions_of(category).sum()) if category in tables.categories else 0


def _of_images(candidate: Evidence, rule: MustPass) -> tuple[list[LimitResult], list[str]]:
    values = on_images(candidate.tables, rule.metric, rule.image_ids)
    results = [
        LimitResult(
            metric=rule.metric,
            value=values[image_id],
            at_least=rule.at_least,
            image_id=image_id,
            passed=values[image_id] >= rule.at_least,
        )
        for image_id in rule.image_ids
        if image_id in values
    ]
    objections = [
        f"image {image_id} must pass, but is not there or has nothing to score {rule.metric} on"
        for image_id in rule.image_ids
        if image_id not in values
    ]
    objections += [
        f"image {result.image_id} must pass: {result.metric} on it is {result.value:.4f}, at least "
        f"{rule.at_least} is needed"
        for result in results
        if not result.passed
    ]
    return _telling(results), objections


def _of_fullest(candidate: Evidence, ceiling: Ceiling) -> LimitResult:
    tables = candidate.tables
    if isinstance(tables, Expressions):
        return LimitResult(metric=ceiling.metric, value=None, at_most=ceiling.at_most, passed=False)
    count_I = tables.per_image["num_detections"].to_numpy(np.float64)
    fullest = int(count_I.argmax())
    return LimitResult(
        metric=ceiling.metric,
        value=float(count_I[fullest]),
        at_most=ceiling.at_most,
        image_id=int(tables.per_image["image_id"].iloc[fullest]),
        passed=bool(count_I[fullest] <= ceiling.at_most),
    )


def _telling(results: Sequence[LimitResult]) -> list[LimitResult]:
    """Keep what misses a floor, the worst first; where nothing does, the lowest value."""
    rising = sorted(results, key=lambda result: result.value or 0.0)
    return [result for result in rising if not result.passed] or rising[:1]
