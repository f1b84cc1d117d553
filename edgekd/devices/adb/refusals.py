"""Why a device cannot be reached over adb: the place, the cause, and the command to run next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekd.core.errors import Problem, UnreachableError
from edgekd.devices.link.refusals import Address

READY = "device"
"""The state of a device whose system runs and trusts this computer."""
PASSING = ("offline", "connecting", "authorizing", "detached")
"""States that a device may leave by itself soon after it was connected."""
INSTALL = "Install it: apt-get install adb, or Android's platform-tools; it must be in PATH."
SETTINGS = "Settings, Developer options, USB debugging"


@dataclass(frozen=True)
class AdbAddress(Address):
    """Where a device is, and how adb gets there."""

    serial: str

    def no_python(self, python: str) -> UnreachableError:
        """Return what to say of a device without the interpreter that is named."""
        step = (
            f"Android brings none: {self.option('python: null')[:-1]}, with runtimes and native: "
            "[executorch]. Or name one that the user 'shell' may run and that has the runtimes: "
            f"python: {self.home}/python/bin/python3. What that takes is in docs/devices.md."
        )
        return self.error(f"there is no '{python}' on the device.", step)


def adb_address(serial: str, folder: str) -> AdbAddress:
    """Return the address of a device."""
    shell = f"adb -s {serial} shell"
    return AdbAddress(f"adb://{serial}", shell, "adb", folder, "/data/local/tmp", serial)


def no_client() -> Problem:
    """Return what to say where Android's client is not installed here."""
    return Problem("transport", "adb needs Android's client 'adb', which is missing here.", INSTALL)


def no_server(where: str, why: str) -> UnreachableError:
    """Return what to say of an adb server that does not answer."""
    return _error(f"the adb server at {where} does not answer: {why}.", "Try: adb start-server")


def none_chosen(states: Mapping[str, str]) -> UnreachableError:
    """Return what to say where there is not just one device, and no serial names one."""
    if not states:
        step = (
            f"Connect it by USB with debugging on ({SETTINGS}), or over the network: "
            "adb connect HOST:5555. What is seen then: adb devices"
        )
        return _error("no device is connected.", step)
    step = (
        f"Say which: transport: {{kind: adb, serial: {next(iter(states))}}}; "
        "or in the environment: ANDROID_SERIAL."
    )
    return _error(f"several devices are connected: {_listed(states)}.", step)


def unknown(address: AdbAddress, states: Mapping[str, str], why: str) -> UnreachableError:
    """Return what to say of a serial that no device has; `why`, where it was called in vain."""
    connected = f"Connected: {_listed(states)}." if states else "None is connected."
    message = f"no device has this serial{f' ({why})' if why else ''}. {connected}"
    if why:
        return address.error(message, "Is it on, in this network, and does adb listen there?")
    return address.error(message, f"Connect it with debugging on ({SETTINGS}), or name another.")


def not_ready(address: AdbAddress, state: str) -> UnreachableError:
    """Return what to say of a device that is connected and takes no commands."""
    again = f"Then: adb -s {address.serial} reconnect, or plug it in again."
    if state == "unauthorized":
        step = (
            f"Unlock it and allow debugging where it asks. If it does not ask: {SETTINGS}: off, on."
        )
        return address.error(
            "the device does not trust this computer's adb key (unauthorized).", step
        )
    if state in PASSING:
        message = f"adb sees the device, and it does not answer ({state})."
        return address.error(message, f"Wake it up, and look at the cable. {again}")
    if state.startswith("no permissions"):
        step = (
            "Install Android's udev rules (Debian: android-sdk-platform-tools-common), be in the "
            "group plugdev, and plug it in again."
        )
        return address.error("this user may not use its USB port (no permissions).", step)
    step = f"Start its system: adb -s {address.serial} reboot"
    return address.error(f"the device is in another state than needed: {state}.", step)


def too_old(address: AdbAddress, features: Sequence[str]) -> UnreachableError:
    """Return what to say of a device whose adbd does not tell how commands end."""
    message = f"its adbd does not tell how commands end: it has {', '.join(features) or 'nothing'}."
    return address.error(message, "shell_v2 is needed: Android 7 or newer.")


def _error(message: str, step: str) -> UnreachableError:
    return UnreachableError(str(Problem("", message, step, "adb")))


def _listed(states: Mapping[str, str]) -> str:
    return ", ".join(f"{serial} ({state})" for serial, state in states.items())
