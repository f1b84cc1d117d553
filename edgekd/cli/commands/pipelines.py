"""Commands about pipeline files: written, checked, run, run again."""

from pathlib import Path
from typing import Annotated

import typer

from edgekd.cli.commands.options import (
    RUNS,
    STORE,
    AsJson,
    File,
    Nproc,
    RunsFolder,
    Sets,
    StoreFolder,
    Targets,
    Until,
)


def run(
    file: File,
    sets: Sets = None,
    until: Until = None,
    target: Targets = None,
    store: StoreFolder = STORE,
    runs: RunsFolder = RUNS,
    remeasure: Annotated[
        bool, typer.Option("--remeasure", help="Measure again what was measured before.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=64, help="Stages that may run at the same time.")
    ] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Run them on this Ray cluster: local (one of its own here), auto, or HOST:PORT.",
        ),
    ] = None,
    nproc: Nproc = 1,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="OUT.zip", help="Also leave all of the run in one file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline: only what is not kept yet, from the first stage that changed.

    Started by torchrun or accelerate launch, its processes train together.
    """
    import edgekd
    from edgekd.cli.bundles import bundle_asked, leave_bundle
    from edgekd.cli.launched import work_for_the_first
    from edgekd.cli.terminal import renderer

    work_for_the_first()
    with bundle_asked(bundle), renderer(as_json) as listener:
        result = edgekd.run(
            file,
            sets=sets or (),
            until=until,
            targets=target or (),
            store=store,
            runs=runs,
            remeasure=remeasure,
            jobs=jobs,
            ray=ray,
            nproc=nproc,
            listener=listener,
        )
    if bundle is not None:
        leave_bundle(bundle, result, until, as_json)
    raise typer.Exit(result.exit_code)


def replay(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A file that run --bundle wrote.")
    ],
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="Keep stage results here; else in a new one."),
    ] = None,
    runs: Annotated[
        Path | None, typer.Option("--runs", metavar="DIR", help="Leave report and artifacts here.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="OLD=NEW", help="Where data lies now; may be repeated."),
    ] = None,
    trust_plugins: Annotated[
        bool, typer.Option("--trust-plugins", help="Run the code that the bundle brings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a bundle again: what is other here, and whether the results agree."""
    from edgekd.cli.bundles import replay_bundle

    code = replay_bundle(
        bundle,
        store=store,
        runs=runs,
        data=data or (),
        trust_plugins=trust_plugins,
        as_json=as_json,
    )
    raise typer.Exit(code)


def plan(
    file: File,
    sets: Sets = None,
    until: Until = None,
    target: Targets = None,
    store: StoreFolder = STORE,
    nproc: Nproc = 1,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Rehearse it too: untrained students are exported and measured on the targets; "
            "says which budgets can never be met, and what the run would take.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what would run or be kept, and why; check the whole file.

    With --measure it ends with 1 where a gate of time, size or memory fails, or something cannot be
    made or measured.
    """
    import edgekd

    if measure:
        from edgekd.cli.rehearsals import rehearse_and_show

        raise typer.Exit(rehearse_and_show(file, sets, until, target, store, nproc, as_json))
    from edgekd.cli.plans import plan_as_json, print_plan

    planned = edgekd.plan(
        file, sets=sets or (), until=until, targets=target or (), store=store, nproc=nproc
    )
    if as_json:
        typer.echo(plan_as_json(planned))
    else:
        print_plan(planned)


def why(
    file: File,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="A stage of the file.")],
    sets: Sets = None,
    target: Targets = None,
    store: StoreFolder = STORE,
    nproc: Nproc = 1,
    as_json: AsJson = False,
) -> None:
    """Say why a stage would run, or that it is kept."""
    import edgekd
    from edgekd.cli.plans import print_why

    planned = edgekd.plan(file, sets=sets or (), targets=target or (), store=store, nproc=nproc)
    print_why(planned, stage, as_json)


def recommend(
    file: File,
    stage: Annotated[
        str | None,
        typer.Option("--stage", metavar="NAME", help="Whose loss, where several learn."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME|EPOCHS",
            help="What the trials may take: 30m, 2h or 40epochs; else 20 times the file's epochs.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="OBJECTIVE", help="Try this one; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the pipeline here, beside FILE."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    store: StoreFolder = STORE,
    runs: RunsFolder = RUNS,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, max=64, help="Trainings at the same time.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Try objectives on your own task under a budget, and write the pipeline with the best.

    Labels alone and plain distillation always take part; they win where nothing is shown better.
    """
    from edgekd.cli.recommend import recommend_and_write
    from edgekd.recommend.asked import Asked, read_budget, read_out

    asked = Asked(
        file,
        stage,
        read_budget(budget) if budget else None,
        tuple(only or ()),
        read_out(file, out, force=force),
    )
    raise typer.Exit(recommend_and_write(asked, store, runs, jobs, as_json=as_json))


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write.")] = Path(
        "pipeline.yaml"
    ),
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="A shipped pipeline, as papers/nd.")
    ] = "quickstart",
) -> None:
    """Write a pipeline file to start from."""
    from edgekd.cli.start import write_template

    write_template(file, template)
