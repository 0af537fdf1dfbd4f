"""Boards as trees of files, laid out as Linux and the JetPacks do, with a kernel behind them.

Paths, rails and clocks are the boards' own (the kernel's drivers, L4T's nvpmodel files).
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nas.board.control.sysfs import Sysfs

NX_GPU = [114.75, 204, 306, 408, 510, 599.25, 701.25, 752.25, 803.25, 854.25]
NX_GPU += [905.25, 956.25, 1007.25, 1058.25, 1109.25]
NX_CPU = [115200 + 76800 * i for i in range(24)] + [1907200]
TX2_GPU = [114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75, 854.25]
TX2_GPU += [930.75, 1032.75, 1122, 1236.75, 1300.5]
NANO_GPU = [76.8 * i for i in range(1, 13)]
AGX_GPU = [114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 675.75, 828.75, 905.25, 1032.75]
AGX_GPU += [1198.5, 1236.75, 1338.75, 1377]
ORIN_GPU = [306, 408, 510, 612, 624.75]
THOR_GPU = [315, 477, 639, 801, 963, 1125, 1260, 1386, 1530, 1575]
EMC = [204, 408, 665.6, 800, 1065.6, 1331.2, 1600, 1866]
GPU_OF = {"xavier-nx": "gv11b", "agx-xavier": "gv11b", "tx2": "gp10b", "nano": "gpu"}
DEBUG = "/sys/kernel/debug/bpmp/debug"
NVPMODEL = """#!/bin/sh
set -e
cd "$(dirname "$0")/../.."
if [ "$1" = -m ]; then
  if grep -qx "$2" etc/needs_reboot 2>/dev/null; then
    echo "NVPM WARN: Reboot required for changing to this power mode: $2"
    echo "NVPM ERROR: optMask is 1, no request for power mode"; exit 1
  fi
  echo "pmode:000$2" > var/lib/nvpmodel/status
  for max in $(find sys/devices -name max_freq); do
    gpu=$(dirname "$max")
    cut -d " " -f 1 "$gpu/available_frequencies" > "$gpu/min_freq"
    sed "s/.* //" "$gpu/available_frequencies" > "$max"
  done
  exit 0
fi
id=$(sed s/pmode:000// var/lib/nvpmodel/status)
echo "NV Fan Mode:quiet"
echo "NV Power Mode: $(sed -n "s/.*ID=$id NAME=\\([^ ]*\\) .*/\\1/p" etc/nvpmodel.conf)"
echo "$id"
"""
VCGENCMD = """#!/bin/sh
cd "$(dirname "$0")/../.."
case "$1" in
  get_throttled) cat run/throttled ;;
  pmic_read_adc) cat run/pmic ;;
esac
"""
PMIC = """     3V7_WL_SW_A current(0)=0.10000000A
        3V3_SYS_A current(1)=0.20000000A
       VDD_CORE_A current(7)=1.50000000A
     3V7_WL_SW_V volt(8)=3.70000000V
        3V3_SYS_V volt(9)=3.30000000V
       VDD_CORE_V volt(15)=0.90000000V
          EXT5V_V volt(24)=5.15000000V
"""


class Tree:
    """Files under a folder; `text` of a path is written as the kernel would show it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, path: str, text: object, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(file.name + ".tmp")  # a reader in another thread sees no half
        aside.write_text(f"{text}\n")
        aside.chmod(mode)
        aside.replace(file)

    def link(self, path: str, to: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(self.root / to.lstrip("/"))

    def program(self, name: str, text: str, folder: str = "/usr/bin") -> None:
        self.put(f"{folder}/{name}", text, 0o755)

    def gpu(self, folder: str, mhz: Iterable[float], of_node: str, *, listed: bool = True) -> None:
        hz = [round(f * 1e6) for f in mhz]
        for name, value in {
            "available_frequencies": " ".join(map(str, hz)),
            "cur_freq": hz[0],
            "min_freq": hz[0],
            "max_freq": hz[-1],
            "governor": "nvhost_podgov",
            "device/of_node/name": of_node,
        }.items():
            self.put(f"{folder}/{name}", value)
        if listed:
            self.link(f"/sys/class/devfreq/{folder.rsplit('/', 1)[1]}", folder)

    def cpu(self, policies: dict[int, list[int]], *, table: bool = True) -> None:
        for first, khz in policies.items():
            folder = f"/sys/devices/system/cpu/cpufreq/policy{first}"
            values: dict[str, Any] = {
                "scaling_min_freq": khz[0],
                "scaling_max_freq": khz[-1],
                "scaling_cur_freq": khz[0],
                "cpuinfo_min_freq": khz[0],
                "cpuinfo_max_freq": khz[-1],
                "scaling_governor": "schedutil",
            }
            if table:
                values["scaling_available_frequencies"] = " ".join(map(str, khz))
            for name, value in values.items():
                self.put(f"{folder}/{name}", value)

    def emc(self, mhz: list[float]) -> None:
        hz = [round(f * 1e6) for f in mhz]
        folder = f"{DEBUG}/clk/emc"
        files = {"rate": hz[-1], "min_rate": hz[0], "max_rate": hz[-1], "mrq_rate_locked": 0}
        for name, value in {**files, "state": 1}.items():
            self.put(f"{folder}/{name}", value)
        for value in hz:
            self.put(f"{DEBUG}/emc/tables/regular/{value // 1000}", "")

    def ina_hwmon(self, device: str, rails: list[str], hwmon: int = 4) -> None:
        """JetPack 5 and 6. The seventh input is the sum of the shunt voltages."""
        folder = f"/sys/bus/i2c/devices/{device}"
        self.put(f"{folder}/name", "ina3221")
        for channel, rail in enumerate(rails, start=1):
            at = f"{folder}/hwmon/hwmon{hwmon}"
            self.put(f"{at}/in{channel}_label", rail)
            self.put(f"{at}/in{channel}_enable", 1)
            self.put(f"{at}/in{channel}_input", 5000)
            self.put(f"{at}/curr{channel}_input", 1000)
        self.put(f"{folder}/hwmon/hwmon{hwmon}/in7_label", "sum of shunt voltages")
        self.put(f"{folder}/hwmon/hwmon{hwmon}/in7_input", 15)

    def ina_iio(self, device: str, rails: list[str], number: int = 0) -> None:
        """JetPack 4."""
        folder = f"/sys/bus/i2c/devices/{device}"
        self.put(f"{folder}/name", "ina3221x")
        for channel, rail in enumerate(rails):
            self.put(f"{folder}/iio:device{number}/rail_name_{channel}", rail)
            self.put(f"{folder}/iio:device{number}/in_power{channel}_input", 5000)

    def zone(self, number: int, kind: str, milli: int, trips: dict[str, int] | None = None) -> None:
        folder = f"/sys/class/thermal/thermal_zone{number}"
        self.put(f"{folder}/type", kind)
        self.put(f"{folder}/temp", milli)
        for i, (trip, at) in enumerate((trips or {}).items()):
            self.put(f"{folder}/trip_point_{i}_type", trip)
            self.put(f"{folder}/trip_point_{i}_temp", at)

    def jetson(self, model: str, release: str, modes: list[str], current: int) -> None:
        self.put("/proc/device-tree/model", f"{model}\0")
        major, minor = release.split(".", 1)
        text = f"# {major} (release), REVISION: {minor}, GCID: 1, BOARD: t186ref, EABI: aarch64"
        self.put("/etc/nv_tegra_release", text)
        blocks = [
            f"< POWER_MODEL ID={i} NAME={name} >\nCPU_ONLINE CORE_0 1"
            for i, name in enumerate(modes)
        ]
        self.put("/etc/nvpmodel.conf", "\n".join([*blocks, f"< PM_CONFIG DEFAULT={current} >"]))
        self.put("/var/lib/nvpmodel/status", f"pmode:000{current}")
        self.program("nvpmodel", NVPMODEL, "/usr/sbin")
        self.zone(0, "CPU-therm", 45000, {"active": 40000, "passive": 86000})
        self.zone(1, "PMIC-Die", 100000, {"critical": 100000})

    def rapl(self, watts_range_uj: int = 262_143_328_850, mode: int = 0o644) -> None:
        for zone, name in {
            "intel-rapl:0": "package-0",
            "intel-rapl:0:0": "core",
            "intel-rapl:1": "psys",
        }.items():
            self.put(f"/sys/class/powercap/{zone}/name", name)
            self.put(f"/sys/class/powercap/{zone}/energy_uj", watts_range_uj - 1000, mode)
            self.put(f"/sys/class/powercap/{zone}/max_energy_range_uj", watts_range_uj)


NX_MODES = ["MODE_15W_2CORE", "MODE_15W_4CORE", "MODE_15W_6CORE", "MODE_10W_2CORE"]
NX_MODES += [
    "MODE_10W_4CORE",
    "MODE_10W_DESKTOP",
    "MODE_20W_2CORE",
    "MODE_20W_4CORE",
    "MODE_20W_6CORE",
]
NX_RAILS = ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]


def build(name: str, root: Path) -> Tree:
    """The tree of a board: `xavier-nx-jp4`, ..., `x86`."""
    tree = Tree(root)
    tree.put("/proc/sys/kernel/random/boot_id", "boot-1")
    (root / "var/lib").mkdir(parents=True, exist_ok=True)
    BOARDS[name](tree)
    return tree


def _xavier_nx(tree: Tree, release: str) -> None:
    tree.jetson("NVIDIA Jetson Xavier NX Developer Kit", release, NX_MODES, 2)
    tree.gpu("/sys/devices/17000000.gv11b/devfreq/17000000.gv11b", NX_GPU, "gv11b")
    tree.put("/sys/devices/17000000.gv11b/railgate_enable", 1)
    tree.cpu({0: NX_CPU, 2: NX_CPU, 4: NX_CPU})
    tree.emc(EMC)
    if release.startswith("R32"):
        tree.ina_iio("7-0040", NX_RAILS)
    else:
        tree.ina_hwmon("7-0040", NX_RAILS)


def _tx2(tree: Tree) -> None:
    tree.jetson("quill", "R32.7.1", ["MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM"], 3)
    tree.gpu("/sys/devices/17000000.gp10b/devfreq/17000000.gp10b", TX2_GPU, "gp10b")
    khz = [345600 + 153600 * i for i in range(11)] + [2035200]
    tree.cpu({0: khz, 1: khz})
    tree.emc([40.8, 204, 1866])
    tree.ina_iio("0-0040", ["VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI"], 0)
    tree.ina_iio("0-0041", ["VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR"], 1)


def _nano(tree: Tree) -> None:
    tree.jetson("NVIDIA Jetson Nano Developer Kit", "R32.7.1", ["MAXN", "5W"], 0)
    tree.gpu("/sys/devices/57000000.gpu/devfreq/57000000.gpu", NANO_GPU, "gpu")
    tree.cpu({0: [102000, 204000, 403200, 921600, 1479000]})  # five of its 15 points
    tree.ina_iio("6-0040", ["POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"])


def _agx_xavier(tree: Tree) -> None:
    tree.jetson("Jetson-AGX", "R35.4.1", ["MAXN", "MODE_10W", "MODE_15W", "MODE_30W_ALL"], 3)
    tree.gpu("/sys/devices/17000000.gv11b/devfreq/17000000.gv11b", AGX_GPU, "gv11b")
    khz = [115200 + 76800 * i for i in range(28)] + [2265600]
    tree.cpu({0: khz, 2: khz, 4: khz, 6: khz})
    tree.emc([*EMC, 2133])
    tree.ina_hwmon("1-0040", ["GPU", "CPU", "SOC"], 3)
    tree.ina_hwmon("1-0041", ["CV", "VDDRQ", "SYS5V"], 4)


def _orin_nano(tree: Tree) -> None:
    tree.jetson("NVIDIA Jetson Orin Nano Developer Kit", "R36.3.0", ["15W", "7W"], 0)
    folder = "/sys/devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu"
    tree.gpu(folder, ORIN_GPU, "gpu")
    khz = [115200 + 76800 * i for i in range(19)] + [1510400]
    tree.cpu({0: khz, 4: khz})
    tree.emc([665.6, 2133])
    tree.ina_hwmon("1-0040", NX_RAILS, 1)
    for i in (1, 2, 3):
        tree.put(f"/sys/class/hwmon/hwmon2/oc{i}_event_cnt", 0)


def _thor(tree: Tree) -> None:
    """JetPack 7: no device tree name, EMC under devfreq, an INA238 for the whole board."""
    tree.jetson("NVIDIA Jetson AGX Thor Developer Kit", "R39.2.0", ["MAXN", "120W", "90W"], 0)
    for name in ("gpu-gpc-0", "gpu-nvd-0"):
        folder = f"/sys/devices/platform/bus@0/0000:01:00.0/devfreq/{name}"
        tree.gpu(folder, THOR_GPU, "", listed=True)
        (tree.root / folder.lstrip("/") / "device/of_node/name").unlink()
    tree.gpu("/sys/devices/platform/bwmgr/devfreq/bwmgr", [3200, 4266], "bwmgr")
    tree.cpu({0: [972000, 1998000, 2601000]})
    tree.ina_hwmon("2-0040", ["VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"], 5)
    folder = "/sys/bus/i2c/devices/2-0044"
    tree.put(f"{folder}/name", "ina238")
    tree.put(f"{folder}/hwmon/hwmon4/label", "VIN")
    tree.put(f"{folder}/hwmon/hwmon4/power1_input", 20986000)


def _raspberry(tree: Tree, model: str, khz: list[int]) -> None:
    tree.put("/proc/device-tree/model", f"Raspberry Pi {model}\0")
    tree.cpu({0: khz})
    tree.program("vcgencmd", VCGENCMD)
    tree.put("/run/throttled", "throttled=0x0")
    tree.zone(0, "cpu-thermal", 50000, {"critical": 110000})
    if model.startswith("5"):
        tree.put("/run/pmic", PMIC)


def _odroid(tree: Tree, *, sensors: bool) -> None:
    tree.put("/proc/device-tree/model", f"Hardkernel Odroid XU{3 if sensors else 4}\0")
    little = [1000 * mhz for mhz in range(200, 1500, 100)]
    tree.cpu({0: little, 4: [1000 * mhz for mhz in range(200, 2100, 100)]})
    for device in ("4-0040", "4-0045", "4-0041", "4-0044") if sensors else ():
        folder = f"/sys/bus/i2c/drivers/INA231/{device}"
        tree.put(f"{folder}/enable", 0)
        tree.put(f"{folder}/sensor_W", "0.750000")


def _x86(tree: Tree) -> None:
    tree.put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: An x86 CPU\n")
    tree.cpu({0: [800000, 4200000], 1: [800000, 4200000]}, table=False)  # intel_pstate
    tree.rapl()
    tree.put("/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", 7)


BOARDS = {
    "xavier-nx-jp4": lambda tree: _xavier_nx(tree, "R32.7.1"),
    "xavier-nx-jp5": lambda tree: _xavier_nx(tree, "R35.4.1"),
    "tx2-jp4": _tx2,
    "nano-jp4": _nano,
    "agx-xavier-jp5": _agx_xavier,
    "orin-nano-jp6": _orin_nano,
    "agx-thor-jp7": _thor,
    "raspberry-pi-4": lambda tree: _raspberry(tree, "4 Model B", [600000, 1000000, 1500000]),
    "raspberry-pi-5": lambda tree: _raspberry(tree, "5 Model B", [1500000, 1600000, 2400000]),
    "odroid-xu3": lambda tree: _odroid(tree, sensors=True),
    "odroid-xu4": lambda tree: _odroid(tree, sensors=False),
    "x86": _x86,
}
TOTAL = {"agx-xavier-jp5": ["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"]}


class FakeKernel(Sysfs):
    """The tree of a board with a kernel behind it: it refuses min > max, and clocks follow.

    `stuck`: parts of paths whose clock does not follow. `frozen`: sensors show one value for ever.
    `errors`: parts of paths that answer with a number of errno. `rounds`: clocks that end a point
    above the one that was set.
    """

    def __init__(
        self,
        root: Path | str,
        stuck: tuple[str, ...] = (),
        frozen: bool = False,
        errors: dict[str, int] | None = None,
        rounds: tuple[str, ...] = (),
    ) -> None:
        super().__init__(str(root))
        self.stuck, self.frozen = stuck, frozen
        self.errors, self.rounds = errors or {}, rounds
        self.writes: list[tuple[str, str]] = []
        self._flip = 0
        self._start = time.perf_counter()

    def raw_write(self, path: str, text: str) -> None:
        folder, name = path.rsplit("/", 1)
        limit = re.fullmatch(r"(scaling_)?(min|max)_freq", name)
        if limit:
            prefix = limit[1] or ""
            ends = {
                end: int(self.raw_read(f"{folder}/{prefix}{end}_freq")) for end in ("min", "max")
            }
            ends[limit[2]] = int(text)
            if ends["min"] > ends["max"]:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if name == "rate" and int(self.raw_read(f"{folder}/mrq_rate_locked")) == 0:
            return  # the memory's own governor goes on
        self._overwrite(path, text)
        self.writes.append((path, text))
        if limit and not any(part in path for part in self.stuck):
            now = f"{folder}/{prefix}cur_freq"
            value = min(max(int(self.raw_read(now)), ends["min"]), ends["max"])
            if any(part in path for part in self.rounds):
                table = self.raw_read(f"{folder}/{prefix}available_frequencies").split()
                value = min((int(p) for p in table if int(p) > value), default=value)
            self._overwrite(now, str(value))

    def _overwrite(self, path: str, text: str) -> None:
        """In one step, as a kernel does it: a kill finds the old text or the new one."""
        with open(self.path(path), "rb+", buffering=0) as file:
            line = f"{text}\n".encode()
            file.write(line.ljust(os.fstat(file.fileno()).st_size))
            file.truncate(len(line))

    def raw_read(self, path: str) -> str:
        for part, number in self.errors.items():
            if part in path:
                raise OSError(number, os.strerror(number))
        if (
            path.endswith("sensor_W")
            and super().raw_read(path.replace("sensor_W", "enable")).strip() != "1"
        ):
            return "0"  # an INA231 that is off
        text = super().raw_read(path)
        if self.frozen:
            return text
        if re.search(r"(curr\d|in_power\d)_input$", path):
            self._flip = 1 - self._flip
            return str(int(text) + (8 if self._flip else -8))  # an INA3221 steps by 8 mA
        if path.endswith("energy_uj"):
            top = int(super().raw_read(path.replace("energy_uj", "max_energy_range_uj")))
            return str((int(text) + round(10e6 * (time.perf_counter() - self._start))) % top)
        return text


def state(root: Path) -> dict[str, str]:
    """Everything that a board could have been changed in."""
    found = {}
    for path in sorted((root / "sys").rglob("*")):
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            found[str(path)] = path.read_text().strip()
    status = root / "var/lib/nvpmodel/status"
    if status.exists():
        found["mode"] = status.read_text().strip()
    return {path: text for path, text in found.items() if not path.endswith("cur_freq")}


def readable_by_all(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink() and path.is_dir():
            path.chmod(stat.S_IRWXU | 0o055)
