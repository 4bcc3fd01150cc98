"""Stage: join the trained weights with the thresholds under which they are judged and served."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from models.segmentation.config import PredictionConfig
from tasks.data.commit import MANIFEST, commit_directory, verify_directory
from tasks.data.segmenter_directory import SEGMENTER_SCHEMA
from tasks.data.strict_json import read_json
from tasks.stages._command import run_stage


def run(config: PredictionConfig, *, model: Path, out: Path) -> None:
    """Copy a trained model and write ``config`` into its ``config.json``.

    What is evaluated, promoted and loaded later is this one directory: a changed threshold is another model,
    though not another training.

    Raises:
        IntegrityError: If the trained model is damaged.
    """
    manifest = verify_directory(model, schema=SEGMENTER_SCHEMA)

    def write(folder: Path) -> None:
        shutil.copytree(model, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
        (folder / MANIFEST).unlink()
        document = {**read_json(model / "config.json"), "prediction": asdict(config)}
        text = json.dumps(document, indent=2, sort_keys=True, allow_nan=False)
        (folder / "config.json").write_text(f"{text}\n", encoding="utf-8")

    commit_directory(out, write, schema=SEGMENTER_SCHEMA, provenance=manifest.provenance)


if __name__ == "__main__":
    run_stage(run, section="predict", config=PredictionConfig)
