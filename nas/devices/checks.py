"""What must fit together in a profile, as faults in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nas.devices.names import meant
from nas.devices.tables import CLOCKS, allowed, within

Profile = Any  # nas.devices.profile.Profile, which imports this file to be checked by it


def profile_faults(profile: Profile) -> list[str]:
    """Every fault of a profile whose fields are right one by one."""
    modes = [mode.name for mode in profile.modes]
    return [
        *_clock_faults(profile),
        *default_fault("default_power_mode", profile.default_power_mode, modes),
        *default_fault("default_backend", profile.default_backend, list(profile.backends)),
        *_backend_faults(profile),
        *_provenance_faults(profile),
    ]


def default_fault(key: str, name: str, known: Sequence[str]) -> Iterator[str]:
    """A default that names nothing of the profile."""
    if name not in known:
        yield f"{key} must be one of {', '.join(known)}, got {name!r}{meant(name, known)}"


def _clock_faults(profile: Profile) -> Iterator[str]:
    for name in CLOCKS:
        clocks = getattr(profile, name)
        if list(clocks) != sorted(set(clocks)):
            yield f"{name} must rise"
    if bool(profile.gpu_mhz) != (profile.gpu is not None):
        yield "gpu_mhz and [gpu] come together: give both or neither"
    if not profile.cpu_mhz:
        yield "cpu_mhz needs at least one clock"
    if len(profile.memory.gb_per_s) != max(1, len(profile.emc_mhz)):
        yield "memory.gb_per_s needs one value for each of emc_mhz, one without them"
    names = [m.name for m in profile.modes]
    if len(set(names)) < len(names):
        yield f"modes must have different names, got {', '.join(names)}"
    for mode in profile.modes:
        for name in CLOCKS:
            clocks, cap = getattr(profile, name), getattr(mode, name.replace("_", "_max_"))
            if clocks and not allowed(clocks, cap):
                yield f"mode {mode.name} allows no {name}: {cap:g} < {clocks[0]:g}"


def _backend_faults(profile: Profile) -> Iterator[str]:
    for name, backend in profile.backends.items():
        unit = profile.unit(backend)
        if backend.cluster and (unit is None or f"{backend.cluster}_mhz" not in profile.clusters):
            clocks = f"clusters.{backend.cluster}_mhz"
            yield f"backends.{name} needs [cores.{backend.cluster}] and {clocks}"
        elif unit is None:
            yield f"backends.{name} runs on a {backend.processor}; add [gpu]"
        elif lacking := set(backend.precision) - set(unit.peak):
            yield f"backends.{name}: {backend.processor}.peak lacks {min(lacking)}"
    usual = profile.backends.get(profile.default_backend)
    if usual is not None and profile.default_precision not in usual.precision:
        yield f"{profile.default_backend} lacks default_precision"


def _provenance_faults(profile: Profile) -> Iterator[str]:
    named = [name for names in profile.provenance.values() for name in names]
    figures = profile.figures()
    unknown = [n for n in named if not any(within(figure, n) for figure in figures)]
    unnamed = [figure for figure in figures if not any(within(figure, n) for n in named)]
    for faults, problem in (
        (unknown, "provenance names what the profile does not hold: {}"),
        (unnamed, "provenance must name every figure; add {}"),
        ([n for n in named if named.count(n) > 1], "provenance names {} twice"),
    ):
        if faults:
            yield problem.format(", ".join(dict.fromkeys(faults)))
