import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from edgekd.core.errors import RequestError, UnreachableError
from edgekd.devices.link import link
from edgekd.devices.transports import ssh
from edgekd.devices.transports.ssh import Ssh, SshTransport
from tests.devices.ssh_servers import SSHD, Server, asyncssh_server, openssh_server

NO_SSHD = pytest.mark.skipif(not SSHD, reason="no sshd here: apt-get install openssh-server")


@pytest.fixture(
    scope="module",
    params=[asyncssh_server, pytest.param(openssh_server, marks=NO_SSHD)],
    ids=["asyncssh", "openssh"],
)
def device(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with request.param(tmp_path_factory.mktemp("device") / "ssh") as server:
        yield server


@pytest.mark.parametrize(
    "error",
    [asyncssh.ConnectionLost("gone"), ConnectionResetError(), TimeoutError(),
     OSError(errno.EHOSTUNREACH, "No route to host")],
)  # fmt: skip
def test_every_way_to_lose_a_connection_is_one_that_can_be_tried_again(error: Exception) -> None:
    with pytest.raises(link.LostError), link.lost((asyncssh.Error,)):
        raise error


def test_a_file_of_ours_that_is_gone_is_no_lost_connection() -> None:
    with pytest.raises(FileNotFoundError), link.lost(()):
        raise FileNotFoundError(errno.ENOENT, "no such file")


def test_a_device_that_is_not_there_says_what_to_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError) as told:
            SshTransport(Ssh(host="127.0.0.1", port=port, user="pi"))
    assert str(told.value).splitlines() == [
        f"ssh://pi@127.0.0.1:{port}",
        "  the device cannot be reached: Connection refused.",
        f"  Is it on, and in this network? Try it by hand: ssh -p {port} pi@127.0.0.1 true",
    ]


def test_a_device_that_says_nothing_is_not_waited_for_longer_than_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(UnreachableError, match="no answer in time"):
            SshTransport(Ssh(host="127.0.0.1", port=port, connect_s=0.3))


def test_an_unknown_host_key_is_refused_with_its_fingerprint(
    device: Server, tmp_path: Path
) -> None:
    key = asyncssh.read_public_key(device.place / "host.pub")
    for known in (tmp_path / "none", tmp_path / "other"):
        (tmp_path / "other").write_text(f"elsewhere {(device.place / 'host.pub').read_text()}")
        with pytest.raises(UnreachableError) as told:
            device.reach(known_hosts=str(known))
        assert f"host key is not known: ssh-ed25519 {key.get_fingerprint()}." in str(told.value)
        assert f": ssh-keyscan -p {device.port} 127.0.0.1 >> {known}" in str(told.value)


def test_a_host_key_that_has_changed_is_refused_with_both_fingerprints(
    device: Server, tmp_path: Path
) -> None:
    now = asyncssh.read_public_key(device.place / "host.pub").get_fingerprint()
    before = asyncssh.generate_private_key("ssh-ed25519")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{device.port} {before.export_public_key().decode()}")
    with pytest.raises(UnreachableError) as told:
        device.reach(known_hosts=str(known))
    text = str(told.value)
    assert f"has changed: ssh-ed25519 {now}" in text
    assert before.get_fingerprint() in text
    assert f"ssh-keygen -R '[127.0.0.1]:{device.port}' -f {known}" in text


def test_a_key_that_the_device_does_not_take_is_told(device: Server, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    other.write_private_key(tmp_path / "other")
    with pytest.raises(UnreachableError, match=r"(?s)takes none of your keys.*ssh-copy-id -p"):
        device.reach(key=str(tmp_path / "other"))
    with pytest.raises(UnreachableError, match=r"/nowhere: No such file or directory"):
        device.reach(key="/nowhere")
    other.write_private_key(tmp_path / "locked", "pkcs8-pem", passphrase="secret")
    with pytest.raises(UnreachableError, match=r"(?s)cannot be read.*ssh-add"):
        device.reach(key=str(tmp_path / "locked"))


def test_a_missing_package_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"(?s)asyncssh, which is missing.*'edgekd\[ssh\]'"):
        SshTransport(Ssh(host="x"))
