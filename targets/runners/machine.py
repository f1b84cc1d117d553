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
CPU = "/sys/devices/system/cpu"
POWERCAP = "/sys/class/powercap"


class Here:
    """The machine that this runs on, by its files and by what its system answers.

    For a device without Python edgekd has another such object, of files that it was sent.
    """

    def read(self, path):
        """Return a file's text, empty where it cannot be read."""
        return read(path)

    def texts(self, pattern):
        """Return the text of every file of a pattern."""
        return [read(path) for path in Path("/").glob(pattern.lstrip("/"))]

    def asked(self):
        """Return what no file tells, as text by name."""
        return {
            "cpu": platform.processor(),
            "arch": platform.machine(),
            "cores": str(os.cpu_count() or ""),
            "affinity": " ".join(map(str, sorted(os.sched_getaffinity(0)))),
            "os": platform.system(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_average": f"{os.getloadavg()[0]:.2f}",
        }


HERE = Here()


class Meter:
    """The energy that the processor's packages take, as Linux's powercap counts it.

    A package counts once, however many ways the kernel has to read it; its cores and graphics are
    in it already, and memory and the whole board are no part of it.
    """

    def __init__(self, folder=POWERCAP):
        found = {read(zone / "name"): zone for zone in sorted(Path(folder).glob("*"))}
        self.packages = [zone for name, zone in found.items() if name.startswith("package-")]
        self.ranges = [microjoules(zone / "max_energy_range_uj") for zone in self.packages]

    def read(self):
        """Return the counters in microjoules, None for one that cannot be read."""
        return [microjoules(zone / "energy_uj") for zone in self.packages]

    def joules(self, before):
        """Return the energy since the counters stood at `before`, in joules.

        None where there is no counter, or one may not be read: a part is not the whole.
        """
        after = self.read()
        if not after or None in (*before, *after):
            return None
        taken = 0
        for begin, end, most in zip(before, after, self.ranges):  # noqa: B905  (Python 3.9)
            if end < begin and most is None:
                return None
            taken += end - begin + (most if end < begin else 0)
        return taken / 1e6


def microjoules(path):
    """Return the whole number in a file, None where none can be read."""
    text = read(path)
    return int(text) if text.isdigit() else None


def identity(of=HERE):
    """Return what is known of a machine as text by name; what cannot be read is left out."""
    info, asked = cpu_info(of), of.asked()
    has = (info.get("flags") or info.get("Features") or "").split()
    flags = [flag for names in FLAGS.values() for flag in names.split() if flag in has]
    found = {
        "cpu": cpu_name(info, of) or asked["cpu"],
        "arch": asked["arch"],
        "flags": " ".join(flags),
        "cores": asked["cores"],
        "affinity": asked["affinity"],
        "memory_mib": memory_mib(of),
        "os": distribution(of) or asked["os"],
        "kernel": asked["kernel"],
        "python": asked["python"],
        "governor": of.read(f"{CPU}/cpu0/cpufreq/scaling_governor"),
        "frequency_mhz": frequency_mhz(info, of),
        "temperature_c": temperature_c(of),
        "load_average": asked["load_average"],
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


def throttle_count(of=HERE):
    """Return how often the cores were slowed for heat so far, 0 where that is not counted."""
    counters = of.texts(f"{CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count")
    return sum(int(text or 0) for text in counters)


def read(path):
    """Return a file's text without its last line break; empty where it cannot be read."""
    try:
        return Path(path).read_text("utf-8", "replace").strip("\x00\n")
    except OSError:
        return ""


def cpu_info(of=HERE):
    """Return the first processor's lines of /proc/cpuinfo by name."""
    first = of.read("/proc/cpuinfo").split("\n\n")[0]
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def cpu_name(info, of=HERE):
    """Return the CPU's name; ARM kernels give numbers, and the board's name beside them."""
    if "model name" in info:
        return info["model name"]
    board = of.read("/proc/device-tree/model")
    numbers = " ".join(info[key] for key in ("CPU implementer", "CPU part") if key in info)
    return ", ".join(part for part in (board, numbers) if part)


def memory_mib(of=HERE):
    """Return the size of the memory in MiB."""
    for line in of.read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return str(int(line.split()[1]) // 1024)
    return ""


def distribution(of=HERE):
    """Return the distribution's name."""
    for line in of.read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return ""


def frequency_mhz(info, of=HERE):
    """Return the first core's present frequency in MHz."""
    khz = of.read(f"{CPU}/cpu0/cpufreq/scaling_cur_freq")
    return f"{int(khz) / 1000:.0f}" if khz else info.get("cpu MHz", "").partition(".")[0]


def frequencies_mhz(of=HERE):
    """Return the mean present frequency of the cores that may be used, or None."""
    cores = of.asked()["affinity"].split()
    read_khz = (of.read(f"{CPU}/cpu{core}/cpufreq/scaling_cur_freq") for core in cores)
    found = [int(khz) / 1000 for khz in read_khz if khz]
    if not found:
        lines = of.read("/proc/cpuinfo").splitlines()
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(found) / len(found) if found else None


def number(text):
    """Return a text as a number, None where it is empty."""
    return float(text) if text else None


def temperature_c(of=HERE):
    """Return the hottest thermal zone in degrees Celsius."""
    zones = of.texts("/sys/class/thermal/thermal_zone*/temp")
    degrees = [int(zone) / 1000 for zone in zones if zone.lstrip("-").isdigit()]
    return f"{max(degrees):.1f}" if degrees else ""
