"""Several runs on one store at the same time, some of them killed: as if each had been alone."""

import random
from collections import Counter

from .runs import SMALL, artifacts, run, stages, start, write

OTHER = SMALL.replace("temperature: 4.0", "temperature: 2.0")
SEEDED = SMALL.replace("kind: prune,", "kind: prune, seed: 1,")


def test_four_runs_on_one_store_share_their_work_and_disturb_nobody(
    tmp_path, full, rounds, counted
):
    """In short the stages that train and prune, in full the whole pipeline."""
    until = () if full else ("--until", "smaller")
    files = {
        "a": write(tmp_path / "a" / "small.yaml"),
        "b": write(tmp_path / "b" / "small.yaml"),
        "c": write(tmp_path / "c" / "small.yaml", OTHER),
        "d": write(tmp_path / "d" / "small.yaml", SEEDED),
    }
    alone = set()
    for name in ("a", "c", "d"):
        status, _, errors = run(files[name], tmp_path / "alone" / name, *until)
        assert status == 0, errors
        alone |= artifacts(tmp_path / "alone" / name)
    done, killed, times = Counter(), 0, rounds(1, 10)
    for number in range(times):
        chance, shared = random.Random(number), tmp_path / f"shared {number}"
        running = [start(file, shared, *until) for file in files.values()]
        for victim in running[: number % 3]:  # they may hold a lock, or wait for one
            stage = chance.choice(["teacher", "student", "smaller"])
            victim.until(lambda e, stage=stage: e.get("stage") == stage)
            victim.kill(tree=chance.random() < 0.5)
            killed += 1
        for one in running[number % 3 :]:
            status, errors = one.end()
            assert status == 0, errors
        for file in list(files.values())[: number % 3]:
            status, _, errors = run(file, shared, *until)
            assert status == 0, errors
        made = Counter(
            (event["stage"], event["key"])
            for one in running
            for event in one.events
            if event["event"] == "stage_done"
        )
        assert max(made.values()) == 1, made
        assert stages(running[-1].events, "stage_failed") == []
        assert artifacts(shared) == alone
        done.update(made.keys())
    counted("4 runs on one store", rounds=times, killed=killed, stages_made=sum(done.values()))
