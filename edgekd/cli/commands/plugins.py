"""Commands about what a pipeline may name."""

from typing import Annotated

import typer

from edgekd.cli.commands.options import AsJson


def list_kind(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="objective, model, stage, ...")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the plug-ins of a kind, or the kinds."""
    from edgekd.cli.plugins import print_kinds, print_plugins

    if kind is None:
        print_kinds(as_json)
    else:
        print_plugins(kind, as_json)


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
) -> None:
    """Show what a plug-in is, where it comes from, its options and what it needs."""
    from edgekd.cli.plugins import print_plugin

    print_plugin(kind, name)


def schema(
    document: Annotated[
        str, typer.Argument(metavar="[DOCUMENT]", help="pipeline, report or comparison.")
    ] = "pipeline",
) -> None:
    """Print the JSON Schema of pipeline files, for editors, or of a document that edgekd writes."""
    from edgekd.cli.plugins import print_schema

    print_schema(document)
