"""What a device can be asked: what every device answers, and abilities that only some have.

An ability is a small Protocol that is asked by type: `isinstance(device, Simulates)`. A class need
not inherit from any of them; it is enough to have the named attributes and methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from search_spaces import DvfsLevel, Floats, Operators, Row, Space, Subnet

if TYPE_CHECKING:
    from predictors import Operator  # loads scikit-learn


class Device(Protocol):
    """Something that a program can be measured on, really or by a model."""

    @property
    def name(self) -> str: ...
    @property
    def processor(self) -> str:
        """`gpu` or `cpu`: the clock that names the levels."""
        ...

    @property
    def backend(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def batch(self) -> int:
        """Images per call; costs are those of the whole batch."""
        ...

    @property
    def threads(self) -> int | None:
        """CPU threads that run a program; None where they cannot be chosen."""
        ...

    @property
    def power_mode(self) -> str | None:
        """None where the device is measured in the state that it is found in."""
        ...

    @property
    def source(self) -> str:
        """Provenance of its rows: `measured` or `simulated`."""
        ...

    @property
    def decision_ms(self) -> float:
        """Time of one decision at an early exit."""
        ...

    @property
    def levels(self) -> list[DvfsLevel]:
        """DVFS levels from the slowest clock to the fastest."""
        ...

    def measure(self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = ...) -> Row:
        """One row: what the program (`subnet`, `heads`) costs at `levels[level]`."""
        ...


@runtime_checkable
class Simulates(Protocol):
    """Knows a model of its costs, so that programs need not be run."""

    @property
    def uncertainty(self) -> float:
        """Relative error to expect of a simulated latency."""
        ...

    def cost(self, operators: Operators) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, L)` of n programs at every level."""
        ...


SAME_CLOCK = 0.01  # relative: what is nearer is one clock, however it was read back


@runtime_checkable
class Clocked(Protocol):
    """Can be run at other clocks than those of its levels."""

    def at(self, settings: Sequence[DvfsLevel]) -> Self:
        """The same device with `settings` for its levels."""
        ...


@runtime_checkable
class ClockModel(Simulates, Clocked, Protocol):
    """Knows what every setting of all clocks costs, as `--clocks all` needs it."""

    @property
    def settings(self) -> list[DvfsLevel]:
        """The levels, then every other setting of all clocks, each with its level's number."""
        ...


@runtime_checkable
class VoltageKnown(Protocol):
    """Knows from which clock on its voltage rises, which a transfer of energies then need not."""

    @property
    def voltage_knee(self) -> tuple[float, float]:
        """Clock in GHz above which the voltage rises, and the relative rise per GHz."""
        ...


@runtime_checkable
class StartsKnown(Protocol):
    """Knows how much of a program's time goes into starting kernels."""

    def launch_share(self, operators: Operators) -> Floats:
        """That share of the latency, 0 to 1, `(n, L)`."""
        ...


@runtime_checkable
class Machine(Protocol):
    """The computer that this process runs on: its clock and decision time are found by measuring.

    So they may differ on another node of a cluster, and a row says what they were.
    """

    def as_found(self, cpu_mhz: float | None, decision_ms: float | None) -> Self:
        """The same device with the clock and decision time that rows tell of, where not None."""
        ...

    def measure_operator(self, space: Space, operator: Operator) -> Row:
        """One row of an operator alone."""
        ...

    def measure_block(self, space: Space, key: str, subnet: Subnet, index: int) -> Row:
        """One row of entry `index` of once-for-all's table for `subnet`, named `key`."""
        ...


class MachineDevice(Device, Machine, Protocol):
    """A device that is a machine."""
