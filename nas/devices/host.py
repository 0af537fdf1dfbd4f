"""This machine as a device: programs are really run and timed."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nas.devices.backends import get_backend
from nas.devices.timing import time_calls
from nas.given import positive_number, whole_number
from nas.words import counted
from search_spaces import DvfsLevel, Row, Space, Subnet
from search_spaces.rows import new_row, operator_columns, program_columns

if TYPE_CHECKING:
    from torch import Tensor, nn

    from predictors import Operator

UNKNOWN_MHZ = 1000.0  # stands in where the system hides its clock; there is one level only


class HostDevice:
    """One backend in one precision; batch norm is folded, memory is channels-last."""

    name = "host"
    power_mode: str | None = None
    source = "measured"

    def __init__(
        self,
        *,
        backend: str | None = None,
        precision: str = "fp32",
        batch: int = 1,
        threads: int = 1,
        seconds: float = 0.3,
    ) -> None:
        self._is_named, backend = backend is not None, backend or "pytorch"
        self._backend = get_backend(backend, precision)
        self.batch = whole_number("batch", batch, 1)
        self.threads = whole_number("threads", threads, 1)
        self.backend, self.precision, self.processor = backend, precision, self._backend.processor
        self.seconds = positive_number("seconds", seconds)
        self.levels = [DvfsLevel(0, None, cpu_mhz() or UNKNOWN_MHZ, None)]

    def measure(self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = 0) -> Row:
        """One measured row of the program (`subnet`, `heads`), at the clock the machine has now.

        Weights and images are random: they cost what trained and real ones cost. Latency is that
        of the whole batch.
        """
        del level  # the host's clock is left as it is
        import torch

        from supernets import extract, random_supernet

        net = extract(random_supernet(space), subnet, heads=heads).fold()
        x = torch.randn(self.batch, *space.input_shape(subnet))
        return self._row(program_columns(space, subnet, heads), net, x)

    def measure_operator(self, space: Space, operator: Operator) -> Row:
        """One measured row of an operator alone: an entry of a look-up table."""
        from nas.devices.operators import operator_network

        net, x = operator_network(operator, self.batch)
        return self._row(operator_columns(space, str(operator)), net, x)

    def measure_block(self, space: Space, key: str, subnet: Subnet, index: int) -> Row:
        """One measured row of entry `index` of once-for-all's table for `subnet`, named `key`."""
        import torch

        from nas.devices.ofa_blocks import block_network
        from supernets import extract, random_supernet

        net = extract(random_supernet(space), subnet).fold()
        x = torch.randn(self.batch, *space.input_shape(subnet))
        return self._row(operator_columns(space, key), *block_network(net, x, index))

    def _row(self, what: Row, net: nn.Module, x: Tensor) -> Row:
        times = self._backend.time(
            net, x, precision=self.precision, threads=self.threads, seconds=self.seconds
        )
        found: Row = {
            "calibration": "random" if self.precision == "int8" else None,
            "cpu_mhz": cpu_mhz(),  # None where the system hides it: a stand-in is not measured
        }
        given: Row = {
            "source": self.source,
            "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "host": f"{cpu_name()}, {counted(self.threads, 'thread')}",
        }
        return new_row(what, self, self.levels[0]) | found | times.columns() | given

    def serving(self, space: Space) -> HostDevice:
        """The same device with kernels where layers of `space` are pruned and no backend was named.

        That is what an exported folder runs them with.
        """
        if self._is_named or not space.measured_alone:
            return self
        asked = {"batch": self.batch, "threads": self.threads, "seconds": self.seconds}
        return HostDevice(backend="kernels", precision=self.precision, **asked)  # type: ignore[arg-type]

    def as_found(self, cpu_mhz: float | None, decision_ms: float | None) -> HostDevice:
        """The same device with the clock and decision time that rows tell of, where not None."""
        twin = copy(self)
        if cpu_mhz is not None:
            twin.levels = [DvfsLevel(0, None, cpu_mhz, None)]
        if decision_ms is not None:
            twin.decision_ms = decision_ms
        return twin

    @cached_property
    def decision_ms(self) -> float:
        """Median time of one exit decision: softmax, maximum, comparison of ten logits."""
        import torch

        logits = torch.randn(self.batch, 10)
        with torch.inference_mode():
            decide = time_calls(lambda: bool(logits.softmax(1).max() > 0.5), seconds=0.05)
        return decide.median_ms


def cpu_name() -> str:
    """The processor's model name as the kernel gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cpu_mhz() -> float | None:
    """The present clock of CPU 0, None where the system does not tell."""
    sysfs = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    if sysfs.is_file():
        return int(sysfs.read_text()) / 1e3
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("cpu MHz"):
                return float(line.split(":", 1)[1])
    return None


def busy_cores() -> float | None:
    """Runnable processes over the last minute; None on systems without a load average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
