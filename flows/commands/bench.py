"""``groundwork bench``: measure this machine."""

from pathlib import Path

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository

app = typer.Typer(name="bench", help="Measure speed beside peers, in a checkout.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Keep ``affinity`` a subcommand although it is the only one."""


@app.command(epilog="Example: `groundwork bench affinity --json` · `groundwork bench affinity --plot`")
def affinity(
    picture: Path | None = typer.Argument(
        None, help="With --plot: where the picture goes. Default: benchmarks/results/affinity.png."
    ),
    plot: bool = typer.Option(False, "--plot", help="Draw time over pixels for every backend and peer."),
    out: Path | None = typer.Option(None, help="Where the numbers go. Default: benchmarks/results."),
    published: Path | None = typer.Option(
        None, help="Python file that offers the authors' code: see benchmarks/affinity_peers.py."
    ),
    device: str = typer.Option("auto", help="cpu, cuda (profiles the backends there) or auto."),
    quick: bool = typer.Option(False, "--quick", help="Tiny sizes: does it run? Stores nothing by itself."),
    as_json: bool = JsonOption,
) -> None:
    """Time affinity propagation beside its peers: medians of 9 runs, about a quarter of an hour."""
    with errors_for_people(as_json=as_json):
        import json

        from tasks.operations.benchmarking import run_benchmark

        _check(picture, published, plot=plot)
        arguments = [f"--device={device}", *(["--quick"] if quick else []), *(["--json"] if as_json else [])]
        if plot:
            arguments += ["--plot", *([str(picture.resolve())] if picture is not None else [])]
        for name, path in (("out", out), ("published", published)):
            arguments += [f"--{name}={path.resolve()}"] if path is not None else []
        printed = run_benchmark("affinity", arguments, repository(), say=listen())
        emit(json.loads(printed) if as_json else {}, as_json=as_json, lines=printed.splitlines())


def _check(picture: Path | None, published: Path | None, *, plot: bool) -> None:
    from tasks.errors import UsageError

    if picture is not None and not plot:
        raise UsageError("a picture needs --plot.", obj=str(picture), hint=f"Say `--plot {picture}`.")
    if published is not None and not published.is_file():
        raise UsageError("there is no such file.", obj=str(published), hint="Name an existing Python file.")
