"""``groundwork data``: check, add, pull, show."""

from pathlib import Path
from typing import Any

import typer

from flows.commands.import_regions import import_regions
from flows.commands.import_weak import import_weak
from flows.commands.weaken import weaken
from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

app = typer.Typer(name="data", help="Check, version, fetch and show the dataset.", no_args_is_help=True)


@app.command(epilog="Example: `groundwork data check data/sample`")
def check(
    folder: Path = typer.Argument(..., help="Directory with annotations/instances_<split>.json and images."),
    as_json: bool = JsonOption,
) -> None:
    """Check every rule of a dataset without importing it. Exit code 3 if one is broken."""
    with errors_for_people(as_json=as_json):
        from tasks.operations.checking import check_folder

        result = check_folder(folder.resolve(), repository())
        emit(result, as_json=as_json, lines=[f"{folder}: {result['summary']}"])


@app.command(epilog="Example: `groundwork data add data/sample`")
def add(
    folder: Path = typer.Argument(..., help="Directory with annotations/instances_<split>.json and images."),
    as_json: bool = JsonOption,
) -> None:
    """Import a dataset, version it, push it, and prove that the copy can be had back."""
    with errors_for_people(as_json=as_json):
        from tasks.operations.versioning import version_dataset
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        version = version_dataset(folder.resolve(), root, Settings.load(root), say=say)
        _show(version.to_json(), as_json=as_json)


@app.command(epilog="Example: `groundwork data pull`")
def pull(as_json: bool = JsonOption) -> None:
    """Bring back the version that data/dataset.dvc names, and check every byte."""
    with errors_for_people(as_json=as_json):
        from tasks.operations.versioning import pull_dataset
        from tasks.services.settings import Settings

        root = repository()
        _show(pull_dataset(root, Settings.load(root)).to_json(), as_json=as_json)


@app.command(epilog="Example: `groundwork data show --json`")
def show(as_json: bool = JsonOption) -> None:
    """Describe the current version after checking every byte of it."""
    with errors_for_people(as_json=as_json):
        from tasks.operations.versioning import show_dataset
        from tasks.services.settings import Settings

        root = repository()
        _show(show_dataset(root, Settings.load(root)).to_json(), as_json=as_json)


@app.command(epilog="Example: `groundwork data shapes --out artifacts/shapes --train 64 --val 16`")
def shapes(
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    seed: int = typer.Option(0, help="Of the world; the same one gives the same bytes."),
    train: int = typer.Option(64, help="Scenes to train on."),
    val: int = typer.Option(16, help="Scenes held out."),
    changes: list[str] = typer.Option(
        [], "--set", help="key=value of the world: side, least, most, crowding, stripes. Repeatable."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Draw coloured shapes of known truth, as COCO, LVIS, RefCOCO, Osprey, LLaVA and Visual Genome files."""
    with errors_for_people(as_json=as_json):
        from tasks.operations.making_shapes import make_shapes

        document = make_shapes(out, seed=seed, num_train=train, num_val=val, changes=changes)
        emit(document, as_json=as_json, lines=table("", ("shapes", "value"), list(document.items())))


app.command("weaken")(weaken)
app.command("import-weak")(import_weak)
app.command("import-regions")(import_regions)


def _show(version: dict[str, Any], *, as_json: bool) -> None:
    names = ("label", "outcome", "files", "size", "sha256", "content_hash", "remote")
    rows = [(name, version[name]) for name in names]
    emit(version, as_json=as_json, lines=table("", ("dataset", "value"), rows))
