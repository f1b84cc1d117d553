"""The command line: all commands, in the order of the help."""

from typing import Annotated

import typer

from edgekd.cli.commands import devices, pipelines, plugins, programs, results, upkeep

app = typer.Typer(
    name="edgekd",
    help="Distil, compress, export and measure models for devices, from one pipeline file.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done and gates kept, 1 a gate or stage failed, 2 the request is wrong, "
    "3 a target cannot be reached or a disk is full, 130 interrupted (the state is kept; the same "
    "command goes on).",
)


def _version(asked: bool) -> None:
    if asked:
        from edgekd.core.version import VERSION

        typer.echo(f"edgekd {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command()(pipelines.run)
app.command()(pipelines.replay)
app.command()(pipelines.plan)
app.command()(pipelines.recommend)
app.command()(pipelines.why)
app.command()(results.report)
app.command()(results.compare)
app.command()(programs.bench)
app.command()(programs.bisect)
app.command("runs")(results.list_runs)
app.command("list")(plugins.list_kind)
app.command()(plugins.show)
app.command()(plugins.schema)
app.command()(pipelines.init)
app.command()(upkeep.doctor)
app.command()(upkeep.gc)
app.add_typer(devices.targets_app, name="targets")
app.add_typer(devices.runner_app, name="runner")
