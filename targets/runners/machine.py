"""What the machine is and how it is set, read from /proc and /sys: recorded, never changed."""

import os
import platform
import time
from pathlib import Path

FLAGS = {
    "x86": "avx2 fma f16c avx512f avx512_vnni avx_vnni avx512_bf16 amx_int8 amx_bf16",
    "arm": "neon asimd asimdhp asimddp i8mm bf16 sve sve2",
}
"""The instructions that decide how fast a small network runs."""
CPU = Path("/sys/devices/system/cpu")


def identity():
    """Return what is known of the machine as text by name; what cannot be read is left out."""
    info = cpu_info()
    has = (info.get("flags") or info.get("Features") or "").split()
    flags = [flag for names in FLAGS.values() for flag in names.split() if flag in has]
    found = {
        "cpu": cpu_name(info),
        "arch": platform.machine(),
        "flags": " ".join(flags),
        "cores": str(os.cpu_count() or ""),
        "affinity": affinity(),
        "memory_mib": memory_mib(),
        "os": operating_system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "governor": read(CPU / "cpu0/cpufreq/scaling_governor"),
        "frequency_mhz": frequency_mhz(info),
        "temperature_c": temperature_c(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }
    return {name: value for name, value in found.items() if value}


def now():
    """Return the time in UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def peak_rss_mib():
    """Return this process's peak resident memory in MiB.

    VmHWM starts anew with the process; `ru_maxrss`, the stand-in where there is no /proc, keeps
    the peak of the parent that forked it.
    """
    for line in read("/proc/self/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pss_mib():
    """Return this process's present memory in MiB, what it shares divided by those who share it.

    None where the kernel does not tell.
    """
    for line in read("/proc/self/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return None


def throttle_count():
    """Return how often the cores were slowed for heat so far, 0 where that is not counted."""
    counters = CPU.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    return sum(int(read(path) or 0) for path in counters)


def read(path):
    """Return a file's text without its last line break; empty where it cannot be read."""
    try:
        return Path(path).read_text("utf-8", "replace").strip("\x00\n")
    except OSError:
        return ""


def cpu_info():
    """Return the first processor's lines of /proc/cpuinfo by name."""
    lines = (line.partition(":") for line in read("/proc/cpuinfo").split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def cpu_name(info):
    """Return the CPU's name; ARM kernels give numbers, and the board's name beside them."""
    if "model name" in info:
        return info["model name"]
    board = read("/proc/device-tree/model")
    numbers = " ".join(info[key] for key in ("CPU implementer", "CPU part") if key in info)
    return ", ".join(part for part in (board, numbers) if part) or platform.processor()


def affinity():
    """Return the cores that this process may use."""
    return " ".join(map(str, sorted(os.sched_getaffinity(0))))


def memory_mib():
    """Return the size of the memory in MiB."""
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return str(int(line.split()[1]) // 1024)
    return ""


def operating_system():
    """Return the distribution's name, or the kernel's."""
    for line in read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()


def frequency_mhz(info):
    """Return the first core's present frequency in MHz."""
    khz = read(CPU / "cpu0/cpufreq/scaling_cur_freq")
    return f"{int(khz) / 1000:.0f}" if khz else info.get("cpu MHz", "").partition(".")[0]


def frequencies_mhz():
    """Return the mean present frequency of the cores that this process may use, or None."""
    read_khz = (read(CPU / f"cpu{core}/cpufreq/scaling_cur_freq") for core in affinity().split())
    found = [int(khz) / 1000 for khz in read_khz if khz]
    if not found:
        lines = read("/proc/cpuinfo").splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(found) / len(found) if found else None


def number(text):
    """Return a text as a number, None where it is empty."""
    return float(text) if text else None


def temperature_c():
    """Return the hottest thermal zone in degrees Celsius."""
    zones = [read(path) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    degrees = [int(zone) / 1000 for zone in zones if zone.lstrip("-").isdigit()]
    return f"{max(degrees):.1f}" if degrees else ""
