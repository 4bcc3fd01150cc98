"""``groundwork tune``: one stage of a recipe for models that see regions."""

from pathlib import Path

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

_NEW = "Without --from:"


def tune(  # noqa: PLR0913, PLR0917 - one line of a shell
    recipe: str = typer.Argument(..., help="Name of a file in configs/region_lm, or a path to a .yaml file."),
    stage: str = typer.Option(..., help="Name of one of its stages."),
    data: Path = typer.Option(..., help="What `data import-regions` made, or a .yaml list of several."),
    out: Path = typer.Option(..., help="Model directory to create, or one made by this command to replace."),
    images: Path | None = typer.Option(None, help="Folder of the images of --data; a mix names its own."),
    parent: Path | None = typer.Option(None, "--from", help="Model of the stage before, or converted."),
    language: Path | None = typer.Option(None, help=f"{_NEW} folder of a language model of transformers."),
    vision: Path | None = typer.Option(None, help=f"{_NEW} folder or file of a CLIP or ConvNeXt encoder."),
    tokenizer: Path | None = typer.Option(None, help=f"{_NEW} folder with tokenizer.json; or --language."),
    random: bool = typer.Option(
        False,
        "--random",
        help=f"{_NEW} what is not named is random; a tokenizer is learned.",
    ),
    sandbox: bool = typer.Option(
        False, "--sandbox", help="Look into pickles of --vision, by a process that runs nothing of them."
    ),
    steps: int | None = typer.Option(None, help="End the schedule after so many optimizer steps."),
    changes: list[str] = typer.Option(
        [], "--set", help="key=value, e.g. stages.0.global_batch=64 or training.micro_batch=2. Repeatable."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on from the checkpoints beside --out."),
    as_json: bool = JsonOption,
) -> None:
    """Run one stage of a training: one process, or as many as `accelerate launch` or `torchrun` starts.

    Stages follow each other by --from. Stopped or killed, the same command with --resume goes on. Settings of
    the run, by --set: training.seed, micro_batch, packing, gradient_checkpointing, gradient_norm, bfloat16,
    too_long (refuse or leave_out), checkpoint_every, log_every.

    Examples: `groundwork tune osprey --stage regions --data artifacts/regions --images data/coco --from
    models/align --out models/regions` · `groundwork tune osprey_tiny --stage align --data mix.yaml --random
    --out artifacts/align` · `torchrun --nproc-per-node 2 -m flows.cli tune ...`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.tune_request import TuneRequest
        from tasks.operations.tuning import tune as train

        request = TuneRequest(
            recipe=recipe, stage=stage, data=data, out=out, images=images, parent=parent, language=language,
            vision=vision, tokenizer=tokenizer, random=random, sandbox=sandbox, steps=steps,
            changes=tuple(changes), resume=resume,
        )  # fmt: skip
        document = train(request, repository(), say=listen())
        if document is None:  # one of many processes; the first one speaks
            return
        names = ("model", "stage", "samples", "cut", "steps", "loss", "sha256")
        rows = [(name, document[name]) for name in names]
        emit(document, as_json=as_json, lines=table("", ("tune", "value"), rows))
