"""Pages about referring expressions for the tests: a drawn world, two models, a decision."""

from tasks.operations.judging_referring import judge_referring
from tasks.report.referring_sources import ReferringInputs
from tests.tasks.referring_world import make_pair, paint_images

POLICY = """
split: val
definition: referring-{kind}/1
floors: [{{metric: {name}.answered, at_least: 0.5}}]
ceilings: []
primary: {{metric: {primary}, min_gain: 0.0}}
non_inferior: []
interval: bca
alpha: 0.05
resamples: 200
seed: 3
"""


def make_inputs(folder, kind, *, images=10, absent=0, **options):
    """Make everything that a page reads, below a folder."""
    document = make_pair(folder, kind, images=images, absent=absent, **options)
    paint_images(folder / "images", document)
    names = {"boxes": ("ref_box", "ref_box.mean_iou"), "masks": ("ref_mask", "ref_mask.giou")}
    name, primary = names[kind]
    (folder / "policy.yaml").write_text(POLICY.format(kind=kind, name=name, primary=primary))
    judge_referring(folder / "new", folder / "old", policy=folder / "policy.yaml", out=folder / "decision")
    return ReferringInputs(
        candidate=folder / "new",
        champion=folder / "old",
        prepared=folder / "prepared",
        decision=folder / "decision",
        images=folder / "images",
        names=("new", "old"),
        seed=7,
        shown=6,
    )
