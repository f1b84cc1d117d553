"""What `bench.py` asks of the processes of programs, wherever they are."""

from collections.abc import Mapping
from typing import Any

from edgekd.devices.scripts import scripts

SAID = {"samples": 10, "wall_s": 2.0, "cpu_s": 1.0, "samples_a_call": 1}


class Child:
    """A process that answers at once."""

    timeout_s = 1.0

    def __init__(self, name: str, asked: list[Mapping[str, Any]]):
        self.name, self.asked = name, asked

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, message: Mapping[str, Any]) -> None:
        self.asked.append({"name": self.name} | message)

    def answer(self) -> Mapping[str, Any]:
        return SAID | {"now_ns": sum(each["do"] == "fill" for each in self.asked)}

    def ask(self, do: str, **request: Any) -> Mapping[str, Any]:
        self.send({"do": do, **request})
        return self.answer()


class Place:
    """Where those processes are."""

    starting_ns = 100

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    def child(self, _job: object, program: Mapping[str, str]) -> Child:
        return Child(program["name"], self.asked)


def test_streams_of_every_program_of_a_job_begin_together() -> None:
    at = Place()
    programs = [{"name": "a"}, {"name": "b"}]
    job = {"programs": programs, "streams": 2, "batch": 1, "min_s": 0.1, "cool_down_s": 0}
    done = scripts().bench.stream(job, at)
    assert done["failed"] == {}
    assert {name: about["per_s"] for name, about in done["streamed"].items()} == {"a": 10, "b": 10}
    begun = {each["name"]: each["at"] for each in at.asked if "at" in each}
    assert begun == {"a": 100 + 2, "b": 100 + 4}  # after the last of them was ready
