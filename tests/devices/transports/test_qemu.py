import os
import sys
from pathlib import Path

import pytest

from edgekd.core.errors import RequestError, StageError
from edgekd.core.refs import as_read
from edgekd.devices.native.runners import check as missing
from edgekd.devices.survey import survey
from edgekd.devices.target import Target
from edgekd.devices.transports import qemu
from edgekd.devices.transports.qemu import Qemu, QemuTransport, check
from edgekd.pipeline.targets import check_transport, find_targets, read_target

superuser = pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may enter a root")


def said(config: Qemu) -> str:
    (problem,) = check(config)
    return str(problem)


def test_a_user_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only the superuser may" in said(Qemu(root="/"))


@superuser
def test_where_there_is_no_root_the_command_is_said_that_makes_one(tmp_path: Path) -> None:
    told = said(Qemu(root=str(tmp_path / "none")))
    assert f"there is no root file system at {tmp_path}/none" in told
    script = told.split("Make one: sh ")[1].split()[0]
    assert Path(script).is_file()
    with pytest.raises(RequestError, match="there is no root file system"):
        QemuTransport(Qemu(root=str(tmp_path / "none")))


@superuser
def test_a_root_with_the_kernels_own_files_is_refused() -> None:
    assert "Unmount it: umount /" in said(Qemu(root="/"))


@superuser
def test_where_no_emulator_takes_its_programs_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/env").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "usr/bin/env").chmod(0o755)
    told = said(Qemu(root=str(tmp_path)))
    assert "do not run here: chroot: failed to run command" in told
    assert "update-binfmts --enable qemu-aarch64" in told


def test_the_shipped_target_without_its_root_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RequestError, match="transport"):
        check_transport(read_target("qemu-arm64", find_targets(tmp_path)))


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> QemuTransport:
    """Return the transport into this machine's own root: no emulator is in the way."""
    monkeypatch.setattr(qemu, "_describe_cpu", lambda _: None)
    monkeypatch.setattr(qemu, "_sees_kernel", lambda _: False)
    return QemuTransport(Qemu(root="/", python=sys.executable, timeout_s=30.0))


@superuser
def test_files_go_there_and_back_under_the_names_that_the_root_knows(
    root: QemuTransport, tmp_path: Path
) -> None:
    (tmp_path / "job/inner").mkdir(parents=True)
    (tmp_path / "job/inner/a.txt").write_text("here")
    there = root.push(tmp_path / "job")
    assert there.startswith("/tmp/edgekd-target-")
    code = f"print(open({there!r} + '/inner/a.txt').read())"
    assert root.run([root.python, "-c", code]) == "here\n"
    root.pull(there, tmp_path / "back")
    assert (tmp_path / "back/inner/a.txt").read_text() == "here"


@superuser
def test_a_command_sees_a_bare_environment_and_its_failure_is_told(
    root: QemuTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/not/there")
    seen = root.run([root.python, "-c", "import os; print(sorted(os.environ))"])
    assert "TMPDIR" not in seen
    assert "QEMU_CPU" in seen
    with pytest.raises(StageError, match="ended with exit status 7"):
        root.run([root.python, "-c", "raise SystemExit(7)"])


@superuser
def test_what_leaves_the_root_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "_objection", lambda _: "")
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/env").symlink_to("/usr/bin/env")
    transport = QemuTransport(Qemu(root=str(tmp_path / "root"), cpu="cortex-a53"))
    (tmp_path / "secret").write_text("ours")
    (tmp_path / "root/tmp/link").symlink_to(tmp_path / "secret")
    with pytest.raises(RequestError, match="lies outside"):
        transport.pull("/tmp/link", tmp_path / "got")
    assert not (tmp_path / "got").exists()


@superuser
def test_targets_that_share_a_root_are_each_told_of_their_own_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "_objection", lambda _: "")
    monkeypatch.setattr(qemu, "_entered", lambda _: [])
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/env").symlink_to("/usr/bin/env")
    parts = {"cortex-a53": "0xd03", "cortex-a76": "0xd0b"}
    both = {cpu: QemuTransport(Qemu(root=str(tmp_path), cpu=cpu)) for cpu in parts}
    for cpu in (*parts, *parts):
        assert parts[cpu] in both[cpu].run(["cat", str(tmp_path / "proc/cpuinfo")])


@superuser
@pytest.mark.slow
def test_an_emulated_board_is_what_its_file_says_where_its_root_was_made() -> None:
    described = as_read(read_target("qemu-arm64", find_targets(Path.cwd())))
    target = Target.model_validate(described)
    if [*check(target.transport.options), *missing(target.native, "aarch64")]:
        pytest.skip("its root or its runner was not made: docs/runner.md")
    found = survey(target)
    assert found.untrue == []
    assert "C++ runner" in found.runtimes["executorch"]
