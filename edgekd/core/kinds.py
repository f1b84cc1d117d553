"""The registries: every kind of thing that can be named in a pipeline file.

What each kind must do is in `protocols/`.
"""

from edgekd.core.registry import Registry

stage = Registry("stage", "stages")
task = Registry("task", "tasks")
source = Registry("source", "data/sources")
model = Registry("model", "models")
objective = Registry("objective", "objectives")
augment = Registry("augment", "data/augment")
select = Registry("select", "data/select")
transform = Registry("transform", "transforms")
measure = Registry("measure", "measures")
runtime = Registry("runtime", "runtimes")
transport = Registry("transport", "devices/transports")

KINDS = {
    registry.kind: registry
    for registry in (
        stage,
        task,
        source,
        model,
        objective,
        augment,
        select,
        transform,
        measure,
        runtime,
        transport,
    )
}
