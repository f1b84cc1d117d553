"""What a device without Python tells of itself, by `cat`, `uname` and Android's `getprop`."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatch

from edgekd.devices.link.link import Link

FILES = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/self/status",
    "/proc/device-tree/model",
    "/etc/os-release",
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count",
    "/sys/class/thermal/thermal_zone*/temp",
)
PROPERTIES = ("ro.build.version.release", "ro.product.manufacturer", "ro.product.model")
MARK = "@@ edgekd "
SCRIPT = f"""
for file in {" ".join(FILES)}; do
  [ -r "$file" ] || continue
  printf '\\n{MARK}%s\\n' "$file"
  cat "$file"
done 2>/dev/null
for about in m r s; do printf '\\n{MARK}uname %s\\n' $about; uname -$about; done
if command -v getprop >/dev/null; then
  for name in {" ".join(PROPERTIES)}; do printf '\\n{MARK}%s\\n' $name; getprop $name; done
fi
"""


class Told:
    """A device by the files that it sent; see `machine.Here`."""

    def __init__(self, texts: Mapping[str, str]):
        self._texts = texts

    def read(self, path: str) -> str:
        """Return a file's text, empty where it was not sent."""
        return self._texts.get(path, "")

    def texts(self, pattern: str) -> list[str]:
        """Return the text of every file of a pattern."""
        return [text for path, text in self._texts.items() if fnmatch(path, pattern)]

    def asked(self) -> dict[str, str]:
        """Return what this machine's own system would be asked for."""
        lines = self.read("/proc/cpuinfo").splitlines()
        cores = sum(line.partition(":")[0].strip() == "processor" for line in lines)
        return {
            "cpu": "",
            "arch": self.read("uname m"),
            "cores": str(cores or ""),
            "affinity": " ".join(map(str, self._usable())),
            "os": self._android() or self.read("uname s"),
            "kernel": self.read("uname r"),
            "python": "",
            "load_average": self.read("/proc/loadavg").partition(" ")[0],
        }

    def _usable(self) -> Iterator[int]:
        """Yield the cores that a process may use, of a list as `0-3,6`."""
        for line in self.read("/proc/self/status").splitlines():
            name, _, spans = line.partition(":")
            if name == "Cpus_allowed_list":
                for span in spans.strip().split(","):
                    first, _, last = span.partition("-")
                    yield from range(int(first), int(last or first) + 1)

    def _android(self) -> str:
        """Return Android's version and the model of the device, or nothing."""
        version, *model = map(self.read, PROPERTIES)
        return f"Android {version}, {' '.join(filter(None, model))}" if version else ""


async def told(link: Link) -> Told:
    """Ask a device; what it does not let be read is left out."""
    return Told(dict(parts(await link.shell(SCRIPT))))


def parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield what SCRIPT prints, by the path or the name of each part."""
    for part in text.split(MARK)[1:]:
        name, _, content = part.partition("\n")
        yield name, content.strip("\x00\n")
