"""``groundwork plan``: parameters, memory, positions and steps of a training, before it runs."""

from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, repository, table


def plan(  # noqa: PLR0913, PLR0917 - one line of a shell
    recipe: str = typer.Argument(..., help="Name of a file in configs/region_lm, or a path to a .yaml file."),
    gpus: int = typer.Option(..., help="Number of GPUs."),
    samples: int = typer.Option(..., help="Samples of each stage's data."),
    memory: float = typer.Option(80.0, help="Memory of each GPU, in GiB."),
    text: int = typer.Option(512, help="Tokens of a sample that are text."),
    answer: int = typer.Option(128, help="Of these, tokens that are learned."),
    regions: int = typer.Option(0, help="Regions of a sample; a stage that trains `regions` needs some."),
    stage: str | None = typer.Option(None, help="One stage; all of them if it is not said."),
    changes: list[str] = typer.Option(
        [], "--set", help="key=value, e.g. model.projector.scale=3 or stages.0.global_batch=64. Repeatable."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Plan a training of a region-level language model on so many GPUs, at full size and without a GPU.

    Examples: `groundwork plan osprey --gpus 4 --samples 595000 --regions 8` ·
    `groundwork plan tokenpacker_hd --gpus 8 --samples 1200000 --stage instruct --set model.projector.scale=3`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.region_planning import PlanRequest, plan_training

        request = PlanRequest(
            recipe=recipe,
            gpus=gpus,
            memory=memory,
            samples=samples,
            text=text,
            answer=answer,
            regions=regions,
            stage=stage,
            changes=tuple(changes),
        )
        document = plan_training(request, repository())
        emit(
            document,
            as_json=as_json,
            lines=[*_parameters(document), "", *_stages(document), "", document["note"]],
        )


def _parameters(document: dict[str, Any]) -> list[str]:
    """Show what each stage trains; parts are the same in all but for adapters."""
    stages = document["stages"]
    parts = list(dict.fromkeys(part for stage in stages for part in stage["parameters"]))
    rows = [
        (
            part,
            f"{max(stage['parameters'].get(part, 0) for stage in stages):,}",
            *(f"{stage['trained'].get(part, 0):,}" for stage in stages),
        )
        for part in parts
    ]
    names = [f"trained by {stage['name']}" for stage in stages]
    return table(f"{document['recipe']}: parameters", ("part", "in all", *names), rows)


def _stages(document: dict[str, Any]) -> list[str]:
    rows = [
        (
            stage["name"],
            kind.upper(),
            stage["sample_tokens"],
            stage["image_tokens"],
            f"{estimate['steps']:,}",
            f"{estimate['micro_batch']} x {estimate['accumulation']}"
            if estimate["micro_batch"]
            else "does not fit",
            *(f"{estimate['memory'][name] / 2**30:.1f}" for name in _MEMORY),
            f"{estimate['step_flops'] / 1e15:.3g}",
        )
        for stage in document["stages"]
        for kind, estimate in ((kind, stage[kind]) for kind in ("ddp", "fsdp"))
    ]
    title = f"on {document['gpus']} GPUs of {document['memory_gib']:g} GiB; GiB of the fullest GPU"
    columns = (
        "stage",
        "sharding",
        "positions",
        "of image",
        "steps",
        "batch of a GPU",
        *_MEMORY,
        "PFLOP a step",
    )
    return table(title, columns, rows)


_MEMORY = ("weights", "gradients", "optimizer", "gathered", "activations", "scores", "total")
