"""Every file of a store truncated, altered or deleted: found out and made again, or refused."""

import random
import shutil

import pytest

from .runs import artifacts, run, stages, write


def shorten(path, chance):
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))] if content else b"x")


def flip(path, chance):
    content = bytearray(path.read_bytes() or b"\0")
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def delete(path, chance):
    path.unlink()


@pytest.fixture
def done(tmp_path):
    """Return a folder with a finished run and its pipeline, and an untouched copy of it."""
    folder, copy = tmp_path / "a folder, größer", tmp_path / "copy"
    status, _, errors = run(write(folder / "small.yaml"), folder)
    assert status == 0, errors
    shutil.copytree(folder, copy, copy_function=shutil.copy2)
    return folder, copy


def test_a_harmed_file_is_found_out_and_what_rests_on_it_is_right_again(done, rounds, counted):
    folder, untouched = done
    chance = random.Random(11)
    kept = (path for path in (folder / "store").rglob("*") if path.is_file())
    files = sorted(path.relative_to(folder) for path in kept)
    harms = [(file, harm) for file in files for harm in (shorten, flip, delete)]
    results = [pair for pair in harms if pair[0].parts[1] == "results"]
    others = [pair for pair in harms if pair[0].parts[1] != "results"]
    chance.shuffle(results)
    chance.shuffle(others)
    tried = [*results[: rounds(3, len(results))], *others[: rounds(3, len(others))]]
    whole, remade = artifacts(folder), 0
    for file, harm in tried:
        shutil.rmtree(folder)
        shutil.copytree(untouched, folder, copy_function=shutil.copy2)
        harm(folder / file, chance)
        status, events, errors = run(folder / "small.yaml", folder)
        said = f"{harm.__name__} {file}: {errors}"
        assert status == 0, said
        assert artifacts(folder) == whole, said
        if "results" in file.parts:
            reasons = [r for e in events if e["event"] == "stage_started" for r in e["reasons"]]
            assert any(file.name in reason for reason in reasons), said
            remade += 1
        again, events, _ = run(folder / "small.yaml", folder)
        assert again == 0, said
        assert stages(events, "stage_started") == [], said
    counted("files of the store harmed", tried=len(tried), files=len(files), made_anew=remade)
