"""A tiny world, samples of it, and models that answer, for tests of the whole path."""

from pathlib import Path

from tasks.data.shapes_world import WorldSettings
from tasks.operations.importing_regions import RegionImport, import_regions
from tasks.operations.region_model_files import save_region_model
from tasks.operations.region_sources import RegionSource
from tasks.operations.shapes_files import write_shapes_files
from tests.models.region_lm.systems import new_system


def write_world(folder: Path) -> Path:
    """Three training scenes, and their samples: categories and yes or no."""
    settings = WorldSettings(side=64, least=2, most=3)
    write_shapes_files(folder / "shapes", seed=7, num_train=3, num_val=1, settings=settings)
    source = RegionSource(form="coco", files=(folder / "shapes/annotations/instances_train.json",))
    import_regions(RegionImport(source=source, out=folder / "samples", ask=("name", "exists")))
    return folder


def write_model(folder: Path, name: str = "osprey_tiny") -> Path:
    processor, model = new_system(name)
    save_region_model(folder, model, processor, provenance={})
    return folder
