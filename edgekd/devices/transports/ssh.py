"""A device in the network: files and commands go there over ssh, OpenSSH or dropbear.

The device needs Python 3.9 or newer with the runtimes, and a shell with `cat`, `tail` and `mktemp`;
no SFTP. For programs that the C++ runner runs the shell is enough: `python: null`. Its host key
must be in `known_hosts`, and it must take one of your keys: nothing is asked for. What
`~/.ssh/config` says of a host holds here too, but for its `UserKnownHostsFile`.
"""

import asyncio
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from edgekd.core.errors import Problem, RequestError
from edgekd.core.kinds import transport
from edgekd.devices.link.attended import Attended, AttendedDevice
from edgekd.devices.link.link import Link
from edgekd.devices.link.ssh_refusals import SshAddress, ssh_address, unreachable

KEEPALIVE_S, KEEPALIVES = 5, 3
"""How often we look whether the device still answers, and how many times it may not."""


class Ssh(Attended):
    """Where the device is, who we are there, and how patient to be."""

    host: str = Field(min_length=1)
    """Name or address, or an alias of `~/.ssh/config`."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port; without it, that of `~/.ssh/config`, else 22."""
    user: str | None = None
    """Name to log in by; without it, that of `~/.ssh/config`, else yours here."""
    key: str | None = None
    """File of a private key; without it, the agent's keys and those in `~/.ssh`."""
    known_hosts: str = "~/.ssh/known_hosts"
    """File with the host keys that are trusted."""


def check(config: Ssh) -> Iterator[Problem]:  # noqa: ARG001  (the same for every device)
    """Yield what must be installed here before any device can be reached."""
    if importlib.util.find_spec("asyncssh") is None:
        step = "Install it: pip install 'edgekd[ssh]'"
        yield Problem("transport", "ssh needs the package asyncssh, which is missing here.", step)


@transport(config=Ssh, check=check)
class SshTransport(AttendedDevice):
    """A working folder of the device, removed with the object, or soon after the link is cut."""

    def __init__(self, config: Ssh):
        if problems := [*check(config)]:
            raise RequestError(problems)
        known_hosts = Path(config.known_hosts).expanduser()
        address = ssh_address(config.host, config.port, config.user, known_hosts, config.folder)
        options = _options(config, known_hosts)
        super().__init__(config, address, lambda: _connected(address, options, config.connect_s))


def _options(config: Ssh, known_hosts: Path) -> dict[str, Any]:
    """Return the options of asyncssh.connect; what is not said is left to ~/.ssh/config."""
    given = {
        "port": config.port,
        "username": config.user,
        "client_keys": config.key and [str(Path(config.key).expanduser())],
    }
    return {name: value for name, value in given.items() if value is not None} | {
        "host": config.host,
        "known_hosts": str(known_hosts) if known_hosts.is_file() else b"",
        "preferred_auth": "publickey",
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVES,
    }


async def _connected(address: SshAddress, options: Mapping[str, Any], within_s: float) -> Link:
    """Return a link; UnreachableError where there is none to be had, with what to do."""
    import asyncssh

    seen: list[Any] = []

    class Client(asyncssh.SSHClient):  # type: ignore[misc]
        """Notes a key that is not trusted, for the message; never trusts it."""

        def validate_host_public_key(self, host: str, _: str, port: int, key: Any) -> bool:
            seen.append((key, host, port))
            return False

    try:
        connecting = asyncssh.connect(**options, client_factory=Client)
        connection = await asyncio.wait_for(connecting, within_s)
    except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
        raise unreachable(address, error, seen) from error
    return Link(connection, address, (asyncssh.Error,))
