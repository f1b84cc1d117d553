"""Why a device cannot be reached over ssh: the place, the cause, and the command to run next."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekd.core.errors import UnreachableError
from edgekd.devices.link.refusals import Address

SSH_PORT = 22


@dataclass(frozen=True)
class SshAddress(Address):
    """Where a device is, and how ssh gets there."""

    login: str
    """What ssh takes: `-p 2222 pi@raspberrypi.local`."""
    known_hosts: Path


def ssh_address(
    host: str, port: int | None, user: str | None, known_hosts: Path, folder: str
) -> SshAddress:
    """Return the address of a host, without what is left to ~/.ssh/config."""
    whose = f"{user}@{host}" if user else host
    login = f"-p {port} {whose}" if port else whose
    name = f"ssh://{whose}" + (f":{port}" if port else "")
    return SshAddress(name, f"ssh {login}", "ssh", folder, "/home/pi", login, known_hosts)


def unreachable(address: SshAddress, error: Exception, seen: Sequence[Any]) -> UnreachableError:
    """Return what to say of a connection that did not come about.

    `seen` are the host keys that were shown and are not trusted.
    """
    import asyncssh

    login = f"ssh {address.login} true"
    match error:
        case asyncssh.HostKeyNotVerifiable() if seen:
            return _untrusted(address, *seen[0])
        case asyncssh.HostKeyNotVerifiable() | asyncssh.KeyExchangeFailed():
            step = f"See what your own ssh says: {login}"
            return address.error(f"its host key cannot be verified: {_plain(error)}", step)
        case asyncssh.PermissionDenied():
            step = (
                f"Give it your key: ssh-copy-id {address.login}; or name the key that it has: "
                "transport: {kind: ssh, key: ~/.ssh/id_ed25519}. Passwords are not asked for."
            )
            return address.error("the device takes none of your keys.", step)
        case asyncssh.KeyEncryptionError() | asyncssh.KeyImportError():
            step = "Give it to the agent (ssh-add FILE) and leave 'key' out."
            return address.error(f"the key cannot be read: {_plain(error)}", step)
        case FileNotFoundError() | PermissionError():
            return address.error(f"{error.filename}: {error.strerror}", "Check key and known_hosts")
    why = "no answer in time" if isinstance(error, TimeoutError) else _plain(error)
    step = f"Is it on, and in this network? Try it by hand: {login}"
    return address.error(f"the device cannot be reached: {why}.", step)


def _untrusted(address: SshAddress, key: Any, host: str, port: int) -> UnreachableError:
    """Return what to say of a host key that is unknown, or another one than before.

    `host` and `port` are what the settings of ssh made of the address.
    """
    import asyncssh

    shown, file = f"{key.get_algorithm()} {key.get_fingerprint()}", address.known_hosts
    usual = port == SSH_PORT
    trust = f"ssh-keyscan {'' if usual else f'-p {port} '}{host} >> {file}"
    there = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, typed on the device, shows its own"
    known: Sequence[Any] = ()
    if file.is_file():
        known = asyncssh.match_known_hosts(str(file), host, "", None if usual else port)[0]
    if not known:
        step = f"If that is the device's ({there}): {trust}"
        return address.error(f"its host key is not known: {shown}.", step)
    was = ", ".join(one.get_fingerprint() for one in known)
    message = (
        f"its host key has changed: {shown}, where {file} has {was}. "
        "Another machine may answer in its place."
    )
    forget = f"ssh-keygen -R '{host if usual else f'[{host}]:{port}'}' -f {file}"
    return address.error(message, f"If the device was set up anew ({there}): {forget} && {trust}")


def _plain(error: Exception) -> str:
    """Return what an error says, without its number."""
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    text = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
    return str(text).rstrip(".") or type(error).__name__
