import subprocess

from edgekd.devices.link.facts import SCRIPT, Told, parts
from edgekd.devices.scripts import scripts

CPUS = (
    "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd05\n\n"
)
PHONE = {
    "/proc/cpuinfo": CPUS + CPUS.replace(": 0\n", ": 1\n", 1),
    "/proc/meminfo": "MemTotal:        7842176 kB\nMemFree: 1 kB",
    "/proc/loadavg": "3.25 2.00 1.00 1/900 4711",
    "/proc/self/status": "Name:\tcat\nCpus_allowed:\t6b\nCpus_allowed_list:\t0-1,3,5-6",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1804800",
    "/sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "2400000",
    "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2",
    "/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "3",
    "/sys/class/thermal/thermal_zone0/temp": "31000",
    "/sys/class/thermal/thermal_zone12/temp": "47500",
    "/sys/fs/cgroup/memory.max": "1000000",
    "uname m": "aarch64",
    "uname r": "5.10.157-android13",
    "uname s": "Linux",
    "ro.build.version.release": "14",
    "ro.product.manufacturer": "Maker",
    "ro.product.model": "Phone 7",
}


def test_a_phone_is_told_from_its_files() -> None:
    machine, phone = scripts().machine, Told(PHONE)
    assert machine.identity(phone) == {
        "cpu": "0x41 0xd05",
        "arch": "aarch64",
        "flags": "asimd asimddp",
        "cores": "2",
        "affinity": "0 1 3 5 6",
        "memory_mib": "7658",
        "os": "Android 14, Maker Phone 7",
        "kernel": "5.10.157-android13",
        "governor": "schedutil",
        "frequency_mhz": "1805",
        "temperature_c": "47.5",
        "load_average": "3.25",
    }
    assert machine.throttle_count(phone) == 5
    assert machine.frequencies_mhz(phone) == (1804.8 + 2400) / 2
    assert scripts().limits.memory_bytes(phone) == 1_000_000


def test_what_a_device_keeps_to_itself_is_left_out() -> None:
    machine = scripts().machine
    assert machine.identity(Told({"uname m": "armv7l"})) == {"arch": "armv7l"}
    assert machine.throttle_count(Told({})) == 0
    assert machine.frequencies_mhz(Told({})) is None


def test_a_shell_tells_of_this_machine_what_python_does() -> None:
    done = subprocess.run(["sh", "-c", SCRIPT], capture_output=True, text=True, check=True)
    machine, changing = scripts().machine, ("python", "load_average", "frequency_mhz")
    here, told = machine.identity(), machine.identity(Told(dict(parts(done.stdout))))
    assert {n: here[n] for n in here if n not in changing} == {
        n: told[n] for n in told if n not in changing
    }
    assert scripts().limits.memory_bytes() == scripts().limits.memory_bytes(
        Told(dict(parts(done.stdout)))
    )
