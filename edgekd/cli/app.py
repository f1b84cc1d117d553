"""The commands. Each imports what it needs when it runs, so that help and lists answer at once."""

from pathlib import Path
from typing import Annotated

import typer

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

File = Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline file.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value; may be repeated."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="STAGE", help="Only this stage and what it rests on."),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="NAME", help="Measure on this device; may be repeated."),
]
Nproc = Annotated[
    int,
    typer.Option("--nproc", min=1, max=64, help="Processes that train together on this machine."),
]
StoreFolder = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Where stage results are kept.")
]
RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Where reports and artifacts are left.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

STORE, RUNS = Path(".edgekd"), Path("runs")


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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def report(
    which: Annotated[
        str | None, typer.Argument(metavar="RUN", help="A run's folder or name; else the newest.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write .html, .md, .json or .xml (JUnit) here."
        ),
    ] = None,
    runs: RunsFolder = RUNS,
) -> None:
    """Show a run's report, or write it to a file."""
    from edgekd.cli.runs import show_report

    show_report(which, out, runs)


@app.command()
def compare(
    which: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN [...]", help="Folders or names; the first is the base."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Also write .html, .md or .json here."),
    ] = None,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Say what runs were asked for and came to, beside the first of them."""
    from edgekd.cli.compare import compare_and_show

    raise typer.Exit(compare_and_show(which, out, runs, as_json))


@app.command()
def bench(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An .onnx, .ort or .pte file of anybody's.")
    ],
    target: Targets = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="OTHER", help="Measure in turns with this one: A B B A."),
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="INPUT=1x3x224x224", help="Sizes of an input."),
    ] = None,
    dims: Annotated[
        list[str] | None,
        typer.Option("--dim", metavar="NAME=N", help="Size of a dimension that varies."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            metavar="INPUT=LOW..HIGH",
            help="Values to make for an input, or INPUT=N for one; else normal, whole numbers 0 "
            "and 1, or all of a byte.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Feed the arrays of this .npz or .npy file."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the values that are made.")] = 0,
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="MODE", help="quick, standard or thorough."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=1024, help="Instead of the target's.")
    ] = None,
    graph_level: Annotated[
        str | None,
        typer.Option("--graph-level", metavar="LEVEL", help="ONNX: all, extended, basic or off."),
    ] = None,
    gates: Annotated[
        list[str] | None,
        typer.Option("--gate", metavar="LIMIT", help="As 'latency_p90_ms<=5'; may be repeated."),
    ] = None,
    profile: Annotated[
        bool | None,
        typer.Option("--profile/--no-profile", help="Time the operators; not in mode quick."),
    ] = None,
    throughput: Annotated[
        bool,
        typer.Option("--throughput", help="Also measure samples a second, in batches and streams."),
    ] = False,
    sustained: Annotated[
        float | None,
        typer.Option(
            "--sustained",
            min=10,
            max=3600,
            metavar="SECONDS",
            help="Also run for so long without a pause: latency against heat and clock.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Also write .html, .md, .json or .xml (JUnit) here.",
        ),
    ] = None,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Measure a model file on devices: percentiles, start, memory, and a report."""
    from edgekd.bench.asked import Asked, read_dims, read_gates, read_shapes, read_values
    from edgekd.cli.bench import bench_model

    asked = Asked(
        model,
        against=against,
        targets=target or ("cpu",),
        shapes=read_shapes(shapes or ()),
        dims=read_dims(dims or ()),
        values=read_values(values or ()),
        data=data,
        seed=seed,
        mode=mode,
        threads=threads,
        graph_level=graph_level,
        profile=profile,
        throughput=throughput or None,
        sustained_s=sustained,
        gates=read_gates(gates or (), compares=against is not None),
    )
    raise typer.Exit(bench_model(asked, out, runs, as_json))


@app.command()
def bisect(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="An .onnx or .pte file of a run or a store.")
    ],
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=4096, help="Validation examples to compare on.")
    ] = 16,
    store: StoreFolder = STORE,
    as_json: AsJson = False,
) -> None:
    """Compare a program's layers with its PyTorch model's, and name the first that departs."""
    from edgekd.cli.bisect import bisect_program

    raise typer.Exit(bisect_program(artifact, store, samples, as_json))


@app.command("runs")
def list_runs(runs: RunsFolder = RUNS, as_json: AsJson = False) -> None:
    """List finished runs with their verdicts."""
    from edgekd.cli.runs import print_runs

    print_runs(runs, as_json)


@app.command("list")
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


@app.command()
def show(
    kind: Annotated[str, typer.Argument(metavar="KIND")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
) -> None:
    """Show what a plug-in is, where it comes from, its options and what it needs."""
    from edgekd.cli.plugins import print_plugin

    print_plugin(kind, name)


targets_app = typer.Typer()
app.add_typer(targets_app, name="targets")


@targets_app.callback(invoke_without_command=True)
def targets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the devices that are described here and with edgekd, or check one."""
    from edgekd.cli.targets import print_targets

    if context.invoked_subcommand is None:
        print_targets(as_json)


@targets_app.command("check")
def check_target(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A target, by its file's name.")],
    as_json: AsJson = False,
) -> None:
    """Reach a device, say what it really is and what of its file is untrue."""
    from edgekd.cli.targets import check_target

    raise typer.Exit(check_target(name, as_json))


runner_app = typer.Typer()
app.add_typer(runner_app, name="runner")


@runner_app.callback()
def runner() -> None:
    """Build the C++ runner of ExecuTorch programs, for devices without torch."""


@runner_app.command("build")
def build_runner(
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="NAME", help="For this device; else for this machine."),
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(
            "--wheel",
            metavar="FILE",
            help="ExecuTorch's wheel for that machine; else pip fetches it where that is another.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the runner once for a kind of machine; it is kept for every measurement there."""
    from edgekd.cli.runner import build_for

    build_for(target, wheel, as_json)


@app.command()
def schema(
    document: Annotated[
        str, typer.Argument(metavar="[DOCUMENT]", help="pipeline, report or comparison.")
    ] = "pipeline",
) -> None:
    """Print the JSON Schema of pipeline files, for editors, or of a document that edgekd writes."""
    from edgekd.cli.plugins import print_schema

    print_schema(document)


@app.command()
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


@app.command()
def doctor(store: StoreFolder = STORE, as_json: AsJson = False) -> None:
    """Check this installation and say the cure of what is wrong."""
    from edgekd.cli.doctor import examine

    raise typer.Exit(examine(store, as_json))


@app.command()
def gc(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Results unused for so long: 30d, 12h."),
    ] = None,
    keep_size: Annotated[
        str | None,
        typer.Option(
            "--keep-size", metavar="SIZE", help="The longest unused, until no more is left: 5GiB."
        ),
    ] = None,
    unreferenced: Annotated[
        bool,
        typer.Option("--unreferenced", help="Results that no run has and no pipeline used last."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it they are listed.")] = False,
    store: StoreFolder = STORE,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Remove results that are no longer wanted, and leftovers; each can be made anew."""
    from edgekd.cli.garbage import clean

    clean(
        store,
        runs,
        older_than=older_than,
        keep_size=keep_size,
        unreferenced=unreferenced,
        confirmed=yes,
        as_json=as_json,
    )
