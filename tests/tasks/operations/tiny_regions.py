"""Directories of region samples of the shapes world, and a stage of a tiny model on them."""

from dataclasses import replace
from pathlib import Path

from tasks.data.commit import commit_directory
from tasks.data.region_directory import REGION_SAMPLES_SCHEMA, SAMPLES
from tasks.data.region_records import RegionSample, RegionTurn
from tasks.data.region_sample_files import dump_samples
from tasks.data.region_samples import describe_samples
from tasks.data.shapes_facts import scene_facts, scene_questions
from tasks.data.shapes_world import WorldSettings, draw_scene
from tasks.operations.shapes_files import write_shapes_files
from tasks.operations.tune_request import TuneRequest

ROOT = Path(__file__).resolve().parents[3]
WORLD = WorldSettings(side=64, most=3)
SCENES = 6
FLOAT32 = "training.bfloat16=false"
SMALL = (
    "model.vision.convnext.image=64",
    "stages.0.global_batch=4",
    "stages.1.global_batch=4",
    "stages.2.global_batch=4",
    "training.log_every=1",
    FLOAT32,
)
"""What makes ``osprey_tiny`` fast."""


def write_samples(folder: Path, samples: list[RegionSample]) -> Path:
    commit_directory(
        folder,
        lambda staging: (staging / SAMPLES).write_bytes(dump_samples(samples)),
        schema=REGION_SAMPLES_SCHEMA,
    )
    return folder


def region_samples() -> list[RegionSample]:
    """What each region is: one conversation a scene, of one to three regions."""
    scenes = [draw_scene(0, number, WORLD) for number in range(1, SCENES + 1)]
    return describe_samples([scene_facts(scene, "train", say="caption") for scene in scenes], seed=0)


def image_samples() -> list[RegionSample]:
    """How many of what there are, of images without regions."""
    scenes = [draw_scene(0, number, WORLD) for number in range(1, SCENES + 1)]
    return [replace(scene_questions(scene, "train", seed=0), regions=()) for scene in scenes]


def text_sample() -> RegionSample:
    turns = (RegionTurn(role="user", parts=("Hello?",)), RegionTurn(role="assistant", parts=("Hello.",)))
    return RegionSample(
        dataset="talk", split="train", sample_id="1", file=None, size=None, regions=(), turns=turns
    )


def write_world(folder: Path) -> Path:
    """Write images (``shapes``), and samples of ``regions``, of ``images`` and of ``text``."""
    write_shapes_files(folder / "shapes", seed=0, num_train=SCENES, num_val=1, settings=WORLD)
    write_samples(folder / "regions", region_samples())
    write_samples(folder / "images", image_samples())
    write_samples(folder / "text", [text_sample()])
    return folder


def request(world: Path, out: Path, **given) -> TuneRequest:
    """Ask for a stage of ``osprey_tiny`` from nothing."""
    usual = {
        "recipe": "osprey_tiny",
        "stage": "instruct",
        "data": world / "regions",
        "images": world / "shapes",
        "out": out,
        "random": given.get("parent") is None,
        "changes": (),
    }
    asked = usual | given
    return TuneRequest(**(asked | {"changes": (*SMALL, *asked["changes"])}))
