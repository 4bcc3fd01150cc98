"""``groundwork fit``: train a recipe from boxes, or from few labelled pixels."""

from pathlib import Path

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table


def fit(  # noqa: PLR0913, PLR0917 - one line of a shell
    recipe: str = typer.Argument(..., help="Name of a file in configs/recipes, or a path to a .yaml file."),
    data: Path = typer.Option(
        ..., help="Boxes: prepared records, dataset.json and <split>.jsonl. Pixels: what `data weaken` makes."
    ),
    out: Path = typer.Option(..., help="Model directory to create, or one made by this command to replace."),
    images: Path = typer.Option(Path("data/dataset"), help="Folder of the images that the data is of."),
    split: str = typer.Option("train", help="Which records."),
    steps: int | None = typer.Option(None, help="End the schedule after so many optimizer steps."),
    changes: list[str] = typer.Option(
        [],
        "--set",
        help="key=value, e.g. optimizer.learning_rate=0.001 or training.micro_batch=2. Repeatable.",
    ),
    backbone: Path | None = typer.Option(None, help="Safetensors file with trained weights of the backbone."),
    reduced: bool = typer.Option(False, "--reduced", help="A dry run: every part, at the size of a toy."),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoints beside --out."),
    as_json: bool = JsonOption,
) -> None:
    """Train a recipe: one process, or as many as `accelerate launch` or `torchrun` starts.

    Masks of instances are learned from boxes, classes of pixels from points, scribbles, blocks or any other
    label maps; the head that the recipe names decides. Stopped or killed, the same command with --resume goes
    on. Settings of the run, by --set: training.seed, training.micro_batch, training.average_decay,
    training.channels_last, training.checkpoint_every, training.log_every.

    Examples: `groundwork fit tiny_solo --data artifacts/prepared --out artifacts/solo` ·
    `groundwork fit tiny_scribbles --data artifacts/scribbles --images data/sample --out artifacts/semantic` ·
    `torchrun --nproc-per-node 2 -m flows.cli fit tiny_query --data artifacts/prepared --out artifacts/query`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.fit_request import FitRequest
        from tasks.operations.fitting import fit as train

        request = FitRequest(
            recipe=recipe,
            data=data,
            images=images,
            out=out,
            split=split,
            steps=steps,
            changes=tuple(changes),
            backbone=backbone,
            small=reduced,
            resume=resume,
        )
        document = train(request, repository(), say=listen())
        if document is None:  # one of many processes; the first one speaks
            return
        rows = [(name, document[name]) for name in ("model", "steps", "loss", "sha256")]
        emit(document, as_json=as_json, lines=table("", ("fit", "value"), rows))
