"""``groundwork``: the one command for people. Heavy libraries are imported inside the commands."""

import signal
import sys

import typer

from flows.commands import (
    answer,
    bench,
    compare,
    convert,
    data,
    evaluate,
    export,
    fit,
    inspect,
    judge,
    plan,
    pseudo_label,
    referring,
    run,
    score,
    segment,
    tune,
)

app = typer.Typer(
    name="groundwork",
    help="From boxes to a promoted segmentation model: versioned, validated, trained, judged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,  # piped output is plain
    context_settings={"help_option_names": ["-h", "--help"]},
)
config = typer.Typer(name="config", help="What is configured, and where it comes from.", no_args_is_help=True)
config.command("show")(inspect.config_show)

app.command("run")(run.run)
app.add_typer(data.app)
app.command("train")(run.train)
app.command("fit")(fit.fit)
app.command("segment")(segment.segment)
app.command("plan")(plan.plan)
app.command("convert")(convert.convert)
app.command("tune")(tune.tune)
app.command("answer")(answer.answer)
app.command("pseudo-label")(pseudo_label.pseudo_label)
app.command("eval")(evaluate.evaluate)
app.command("gate")(judge.gate)
app.command("promote")(judge.promote)
app.command("rollback")(judge.rollback)
app.command("history")(judge.history)
app.command("report")(judge.report)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.add_typer(score.app)
app.command("doctor")(inspect.doctor)
app.add_typer(referring.app)
app.add_typer(bench.app)
app.add_typer(config)


def main() -> None:
    """Run the command line; being asked to stop is Ctrl-C by other means."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="groundwork")


if __name__ == "__main__":
    main()
