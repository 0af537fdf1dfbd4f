"""What is known of a device, read from TOML: clocks, power modes, paths, constants of the model."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveFloat, PrivateAttr, model_validator

from nas.devices.checks import profile_faults
from nas.devices.names import NAME, meant
from nas.devices.tables import (
    CLOCKS,
    Backend,
    Clocks,
    Memory,
    Part,
    Power,
    PowerMode,
    Precision,
    Processor,
    Rails,
    Status,
    Sysfs,
    Thermal,
    Unit,
    allowed,
    within,
)
from search_spaces import DvfsLevel, InputError

PARTS = ("gpu", "cpu", "memory", "power")  # tables with one figure on each line
WHOLE = (
    "modes",
    "clusters",
    "rail_w",
    "rails",
    "sysfs",
    "thermal",
)  # tables that count as one figure


def _plain(name: str) -> str:
    """A device's name is part of the names of files: it must not lead out of their folder."""
    if not re.fullmatch(NAME, name):
        raise ValueError(f"must be small letters, digits and hyphens, got {name[:80]!r}")
    return name


Name = Annotated[str, AfterValidator(_plain)]


class Profile(Part):
    """One device. The default backend says which processor's clocks the levels are made of."""

    name: Name
    description: str
    gpu_mhz: Clocks = ()
    cpu_mhz: Clocks
    emc_mhz: Clocks = ()
    default_power_mode: str
    default_backend: str
    default_precision: Precision
    decision_ms: float = Field(ge=0)
    modes: tuple[PowerMode, ...] = Field(min_length=1)
    gpu: Unit | None = None
    cpu: Unit
    clusters: dict[str, Clocks] = Field(default_factory=dict)
    cores: dict[str, Unit] = Field(default_factory=dict)
    memory: Memory
    power: Power
    backends: dict[str, Backend] = Field(min_length=1)
    rail_w: dict[str, PositiveFloat] = Field(default_factory=dict)
    rails: Rails | None = None
    sysfs: dict[str, Sysfs] = Field(default_factory=dict)
    thermal: Thermal | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    provenance: dict[Status, tuple[str, ...]]
    _text: str = PrivateAttr("")  # the file, whose comments are the sources of figures

    def model_post_init(self, context: Any) -> None:
        self._text = (context or {}).get("text", "")

    @model_validator(mode="after")
    def _fits_together(self) -> Profile:
        if faults := profile_faults(self):
            raise ValueError("; ".join(faults))
        return self

    @property
    def processor(self) -> Processor:
        """What the default backend runs on."""
        return self.backends[self.default_backend].processor

    @cached_property
    def _figures(self) -> dict[str, object]:
        names = (*CLOCKS, "decision_ms")
        found = {name: getattr(self, name) for name in names if getattr(self, name) != ()}
        tables = {part: getattr(self, part) for part in PARTS if getattr(self, part)}
        tables |= {f"cores.{name}": unit for name, unit in self.cores.items()}
        tables |= {f"backends.{name}": backend for name, backend in self.backends.items()}
        for table, part in tables.items():
            found |= _values(table, part)
        return found | {name: getattr(self, name) for name in WHOLE if getattr(self, name)}

    def figures(self) -> dict[str, object]:
        """What is known of the device by dotted name, as `provenance` and `comments` name it."""
        return self._figures

    @cached_property
    def comments(self) -> dict[str, str]:
        """The source of every figure: the comment on its line."""
        from nas.devices.comments import read_comments

        return read_comments(self._text)

    def status(self, figure: str) -> Status:
        """How well a figure stands: the entry of `provenance` that names it most closely."""
        entries = [
            (len(n), s) for s, of in self.provenance.items() for n in of if within(figure, n)
        ]
        return max(entries)[1]

    def source(self, figure: str) -> str:
        """Where a figure is from: the comment on its line or on its table's first; may be empty."""
        return next((c for name, c in self.comments.items() if within(name, figure)), "")

    def mode(self, name: str | None) -> PowerMode:
        """The power mode called `name`, the default for None. InputError lists the modes."""
        wanted = name or self.default_power_mode
        for mode in self.modes:
            if mode.name == wanted:
                return mode
        known = [m.name for m in self.modes]
        raise InputError(
            f"{self.name} has no power mode {wanted!r}; it has {', '.join(known)}"
            f"{meant(wanted, known)}"
        )

    def unit(self, backend: Backend) -> Unit | None:
        """What `backend` runs on."""
        unit: Unit | None = getattr(self, backend.processor)
        return self.cores.get(backend.cluster) if backend.cluster else unit

    def on_rails(self) -> Profile:
        """The same device with the power of its processors' rails alone, where they are known.

        `rail_w` is what each of them draws at rest: no regulators, fan and storage as in `base_w`.
        """
        rails = sum(self.rail_w.values())
        power = self.power.model_copy(update={"base_w": rails} if rails else {})
        return self.model_copy(update={"power": power})

    def levels(
        self,
        power_mode: str | None = None,
        processor: Processor | None = None,
        cluster: str | None = None,
    ) -> list[DvfsLevel]:
        """The DVFS levels of a mode: each allowed clock, the others at the mode's maximum."""
        mode = self.mode(power_mode)
        gpu = allowed(self.gpu_mhz, mode.gpu_max_mhz)
        clocks = self.clusters[f"{cluster}_mhz"] if cluster else self.cpu_mhz
        cpu = allowed(clocks, mode.cpu_max_mhz)
        emc = _top(allowed(self.emc_mhz, mode.emc_max_mhz))
        if (processor or self.processor) == "cpu":
            return [DvfsLevel(i, None, f, emc, mode.name) for i, f in enumerate(cpu)]
        return [DvfsLevel(i, f, _top(cpu), emc, mode.name) for i, f in enumerate(gpu)]

    def settings(
        self,
        power_mode: str | None = None,
        processor: Processor | None = None,
        cluster: str | None = None,
    ) -> list[DvfsLevel]:
        """Every level with every other clock that the mode allows; the levels themselves first."""
        levels, mode = self.levels(power_mode, processor, cluster), self.mode(power_mode)
        cpu = allowed(self.cpu_mhz, mode.cpu_max_mhz)
        emc: list[float | None] = [*allowed(self.emc_mhz, mode.emc_max_mhz)] or [None]
        others = [
            replace(level, cpu_mhz=c, emc_mhz=m)
            for level in levels
            for c in (cpu if level.gpu_mhz is not None else [level.cpu_mhz])
            for m in emc
        ]
        return levels + [setting for setting in others if setting not in levels]

    def gb_per_s(self, emc_mhz: float | None) -> float:
        """What programs can draw at a memory clock."""
        at = self.emc_mhz.index(emc_mhz) if emc_mhz in self.emc_mhz else -1
        return self.memory.gb_per_s[at]

    def board(self, jetpack: int | None = None) -> dict[str, Any]:
        """Paths, rails and zones as a plain dict for what runs on the board.

        The paths of every generation, those of `jetpack` alone where the profile has them; lists
        are joined, a single path is the first one named.
        """
        wanted = [self.sysfs[k] for k in self.sysfs if k == f"jp{jetpack}"] or self.sysfs.values()
        sysfs: dict[str, Any] = {}
        for generation in wanted:
            for key, value in generation.model_dump(exclude_defaults=True).items():
                if isinstance(value, tuple):
                    sysfs[key] = list(dict.fromkeys([*sysfs.get(key, []), *value]))
                else:
                    sysfs.setdefault(key, value)
        parts = {"rails": self.rails, "thermal": self.thermal}
        plain = {k: part.model_dump(mode="json") if part else {} for k, part in parts.items()}
        return {"name": self.name, "sysfs": sysfs, **plain}


def _values(table: str, part: Part) -> dict[str, object]:
    """The figures of a table that were given, by dotted name."""
    found: dict[str, object] = {}
    for name in part.model_fields_set - {"processor"}:
        value = getattr(part, name)
        inner = _values(f"{table}.{name}", value) if isinstance(value, Part) else {}
        found |= inner or {f"{table}.{name}": value}
    return dict(sorted(found.items()))


def _top(clocks: list[float]) -> float | None:
    return clocks[-1] if clocks else None
