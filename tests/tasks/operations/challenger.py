"""A challenger for a released project, made without training."""

import json
import shutil

from tasks.data.commit import commit_directory, commit_file, hash_file, read_manifest, verify_directory


def make_challenger(root, seed=1):
    """Another model with the same predictions: only its provenance differs. The gate calls it not better."""
    model, evaluation = root / "artifacts" / "segmenter", root / "artifacts" / "evaluation"
    manifest = read_manifest(model)
    model.rename(root / f"old-{seed}")
    commit_directory(
        model,
        lambda folder: copy_files(root / f"old-{seed}", folder),
        schema=manifest.schema,
        provenance={**manifest.provenance, "seed": seed},
    )
    was, sha = verify_directory(root / f"old-{seed}").sha256, verify_directory(model).sha256
    predictions = root / "artifacts" / "predictions" / "val.jsonl"
    commit_file(predictions, predictions.read_bytes().replace(was.encode(), sha.encode()))
    evaluated = read_manifest(evaluation)
    evaluation.rename(root / f"judged-{seed}")

    def write(folder):
        copy_files(root / f"judged-{seed}", folder)
        document = json.loads((folder / "metrics.json").read_text())
        changed = {"model_sha256": sha, "predictions_sha256": hash_file(predictions)}
        (folder / "metrics.json").write_text(json.dumps({**document, **changed}))

    commit_directory(evaluation, write, schema=evaluated.schema, provenance=evaluated.provenance)


def copy_files(source, target):
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "manifest.json").unlink()
