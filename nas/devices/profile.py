"""What is known of a device, read from TOML: clocks, power modes, peaks, constants of the model."""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError, model_validator

from search_spaces import DvfsLevel, InputError

Clocks = tuple[PositiveFloat, ...]
Precision = Literal["fp32", "fp16", "int8"]
BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}


class Part(BaseModel):
    """A table of a profile: every key is known, nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PowerMode(Part):
    """Online cores and the highest clocks that a mode allows; None where the device has no such."""

    name: str
    cores: int = Field(ge=1)
    cpu_max_mhz: PositiveFloat | None = None
    gpu_max_mhz: PositiveFloat | None = None
    emc_max_mhz: PositiveFloat | None = None


class Memory(Part):
    """Main memory: nominal bytes per memory clock, and the share of them that is usable."""

    bytes_per_clock: PositiveFloat
    usable: float = Field(gt=0, le=1)


class Power(Part):
    """P = base + k f (1 + rise max(0, f - knee))^2 x activity + w_per_gb_s x traffic; f in GHz.

    Activity is 1 while the processor computes and `idle_share` while it starts kernels or waits for
    memory; traffic is what the program moves, in 1e9 bytes per second.
    """

    base_w: PositiveFloat
    k_w_per_ghz: PositiveFloat
    knee_ghz: PositiveFloat
    rise_per_ghz: float = Field(ge=0)
    idle_share: float = Field(ge=0, le=1)
    w_per_gb_s: float = Field(ge=0)


class Backend(Part):
    """How a runtime uses the processor; times in microseconds at `reference_mhz`."""

    efficiency: float = Field(gt=0, le=1)
    kernel_us: float = Field(ge=0)
    dispatch_us: float = Field(ge=0)
    fixed_us: float = Field(ge=0)
    kernels_per_conv: int = Field(ge=1)
    reference_mhz: PositiveFloat
    p: float = Field(ge=1)


class Profile(Part):
    """One device. `processor` says which clock the levels are made of."""

    name: str
    description: str
    processor: Literal["gpu", "cpu"]
    gpu_mhz: Clocks = ()
    cpu_mhz: Clocks = ()
    emc_mhz: Clocks = ()
    default_power_mode: str
    default_backend: str
    default_precision: Precision
    decision_ms: float = Field(ge=0)
    uncertainty: float = Field(ge=0)
    modes: tuple[PowerMode, ...] = Field(min_length=1)
    peak: dict[Precision, PositiveFloat]
    memory: Memory
    power: Power
    backends: dict[str, Backend]
    provenance: dict[str, Literal["published", "derived", "assumed"]]

    @model_validator(mode="after")
    def _fits_together(self) -> Profile:
        for name in ("gpu_mhz", "cpu_mhz", "emc_mhz"):
            clocks = getattr(self, name)
            if list(clocks) != sorted(set(clocks)):
                raise ValueError(f"{name} must rise")
        if not getattr(self, f"{self.processor}_mhz"):
            raise ValueError(f"a {self.processor} target needs {self.processor}_mhz")
        names = [m.name for m in self.modes]
        if len(set(names)) < len(names):
            raise ValueError(f"modes must have different names, got {', '.join(names)}")
        for mode in self.modes:
            for name in ("gpu_mhz", "cpu_mhz", "emc_mhz"):
                clocks, cap = getattr(self, name), getattr(mode, name.replace("_", "_max_"))
                if clocks and not _allowed(clocks, cap):
                    raise ValueError(f"mode {mode.name} allows no {name}: {cap:g} < {clocks[0]:g}")
        for field, known in (
            ("default_power_mode", [m.name for m in self.modes]),
            ("default_backend", list(self.backends)),
            ("default_precision", list(self.peak)),
        ):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} must be one of {', '.join(known)}")
        if wrong := sorted(set(self.provenance) ^ set(self.figures())):
            raise ValueError(f"provenance must name every figure once, check {', '.join(wrong)}")
        return self

    def figures(self) -> dict[str, float | Clocks]:
        """The numbers of the device and its model by dotted name, as `provenance` names them."""
        names = ("gpu_mhz", "cpu_mhz", "emc_mhz", "decision_ms", "uncertainty")
        found = {name: getattr(self, name) for name in names if getattr(self, name) != ()}
        parts: dict[str, Any] = {"peak": self.peak, "memory": self.memory, "power": self.power}
        parts |= {f"backends.{name}": backend for name, backend in self.backends.items()}
        inside = {f"{part}.{k}": v for part, of in parts.items() for k, v in dict(of).items()}
        return found | inside

    def mode(self, name: str | None) -> PowerMode:
        """The power mode called `name`, the default for None. InputError lists the modes."""
        wanted = name or self.default_power_mode
        for mode in self.modes:
            if mode.name == wanted:
                return mode
        known = ", ".join(m.name for m in self.modes)
        raise InputError(f"{self.name} has no power mode {wanted!r}; it has {known}")

    def levels(self, power_mode: str | None = None) -> list[DvfsLevel]:
        """The DVFS levels of a mode: each allowed clock, the others at the mode's maximum."""
        mode = self.mode(power_mode)
        gpu = _allowed(self.gpu_mhz, mode.gpu_max_mhz)
        cpu = _allowed(self.cpu_mhz, mode.cpu_max_mhz)
        emc = _top(_allowed(self.emc_mhz, mode.emc_max_mhz))
        if self.processor == "cpu":
            return [DvfsLevel(i, None, f, emc, mode.name) for i, f in enumerate(cpu)]
        return [DvfsLevel(i, f, _top(cpu), emc, mode.name) for i, f in enumerate(gpu)]


def _allowed(clocks: Clocks, cap: float | None) -> list[float]:
    """Clocks up to `cap`: a cap between two entries rounds down, as the drivers do."""
    return [f for f in clocks if cap is None or f <= cap + 1e-6]


def _top(clocks: list[float]) -> float | None:
    return clocks[-1] if clocks else None


def profile_names() -> list[str]:
    """Names of the profiles that ship with the project."""
    folder = files("nas.devices") / "profiles"
    return sorted(Path(str(p)).stem for p in folder.iterdir() if str(p).endswith(".toml"))


def load_profile(name: str) -> Profile:
    """The profile called `name`, or the one in a `.toml` file. InputError says what is wrong."""
    path = Path(name)
    if path.suffix != ".toml":
        if name not in profile_names():
            raise unknown_device(name)
        path = Path(str(files("nas.devices") / "profiles" / f"{name}.toml"))
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"device profile {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"device profile {path} is no readable TOML: {error}") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "profile"
        raise InputError(f"device profile {path}: {where}: {fault['msg']}") from None


def unknown_device(name: str) -> InputError:
    """The error that names what could have been meant."""
    known = ["host", *profile_names()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    return InputError(
        f"unknown device {name!r}; did you mean {', '.join(near)}? "
        "`nas devices` lists them all, --device FILE.toml takes your own"
    )
