"""What a manifest may say: every value checked before anything of it is used.

A check takes a value and where it stands, and raises ManifestError with the first fault. Keys of
later versions are let through.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any, Callable, NoReturn

Check = Callable[[Any, str], None]
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}")
SHOWN = 40  # characters of a value
DIGEST = "content_sha256"


class ManifestError(ValueError):
    """An exported folder cannot be used; the message says why and what to do."""


def content_sha256(content: dict[str, Any]) -> str:
    """The checksum of a manifest: of all that it says besides the checksum."""
    told = {key: value for key, value in content.items() if key != DIGEST}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_manifest(content: dict[str, Any]) -> None:
    """ManifestError: the first value that cannot be, or that contradicts another."""
    _MANIFEST(content, "")
    if DIGEST in content and content[DIGEST] != content_sha256(content):
        raise ManifestError(
            "it was changed since it was exported: its content does not have its checksum; copy it "
            "again or export again"
        )
    for key in ("weights", "statistics", "slices") if "shared" in content else ():
        if content["shared"][key] not in content["files"]:
            _fault(f"shared.{key}", content["shared"][key], "one of `files`")
    if "kernels" in content and content["kernels"] not in content["files"]:
        _fault("kernels", content["kernels"], "one of `files`")
    for name, network in content["networks"].items():
        _check_network(f"networks.{name}", network, content)
    ids = set()
    for i, configuration in enumerate(content["configurations"]):
        _check_configuration(f"configurations[{i}]", configuration, content)
        if configuration["id"] in ids:
            _fault(f"configurations[{i}].id", configuration["id"], "another id than those before")
        ids.add(configuration["id"])
    if content.get("governing") is not None:
        _check_governing(content["governing"])


def _check_network(where: str, network: dict[str, Any], content: dict[str, Any]) -> None:
    n = len(network["segments"])
    for key in ("exits", "temperatures"):
        _length(f"{where}.{key}", network[key], n, "segment")
    _rising(f"{where}.exits", network["exits"])
    for i, file in enumerate(network["segments"]):
        if file not in content["files"]:
            _fault(f"{where}.segments[{i}]", file, "one of `files`")
    channels = content["files"][network["segments"][0]].get("input", [None])[0]
    for key in ("mean", "std"):
        values = content["input"][key]
        if values is not None and channels is not None and len(values) not in (1, channels):
            _fault(f"input.{key}", values, f"one number for each of {channels} channels")


def _check_configuration(where: str, found: dict[str, Any], content: dict[str, Any]) -> None:
    if found["network"] not in content["networks"]:
        _fault(f"{where}.network", found["network"], "one of `networks`")
    exits = content["networks"][found["network"]]["exits"]
    if found["after"] != exits[:-1]:
        _fault(f"{where}.after", found["after"], f"the early exits of its network, {exits[:-1]}")
    _length(f"{where}.thresholds", found["thresholds"], len(exits) - 1, "early exit")
    levels = content.get("levels")
    if levels is not None and found["level"] >= len(levels):
        _fault(f"{where}.level", found["level"], f"0 to {len(levels) - 1}")


def _check_governing(governing: dict[str, Any]) -> None:
    n_levels = len(governing["mhz"])
    _length("governing.idle_w", governing["idle_w"], n_levels, "level")
    for i, row in enumerate(governing["configurations"]):
        where, n = f"governing.configurations[{i}]", len(row["exits"])
        _rising(f"{where}.exits", row["exits"])
        _length(f"{where}.thresholds", row["thresholds"], n - 1, "early exit")
        _length(f"{where}.exit_rates", row["exit_rates"], n, "exit")
        for key in ("time_ms", "power_w"):
            _length(f"{where}.{key}", row[key], n, "exit")
            for k, values in enumerate(row[key]):
                _length(f"{where}.{key}[{k}]", values, n_levels, "level")


def _fault(where: str, value: Any, expected: str) -> NoReturn:
    text = repr(value)
    text = text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
    raise ManifestError(f"{where} is {text}; expected {expected}")


def _length(where: str, values: Any, n: int, each: str) -> None:
    if len(values) != n:
        _fault(where, values, f"{n}, one for each {each}")


def _rising(where: str, exits: Any) -> None:
    if sorted(set(exits)) != exits:
        _fault(where, exits, "numbers of exits, from early to late")


def _number(
    least: float = 0, most: float = math.inf, above: float | None = None, whole: bool = False
) -> Check:
    """A finite number from `least` to `most`, or above `above`."""
    kind = "a whole number" if whole else "a finite number"
    limit = f"above {above:g}" if above is not None else f"of at least {least:g}"
    words = f"{kind} {limit}" + (f", at most {most:g}" if most < math.inf else "")

    def check(value: Any, where: str) -> None:
        typed = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        low = typed and (value >= least if above is None else value > above)
        if not (low and value <= min(most, 1e300)):  # NaN compares false
            _fault(where, value, words)

    return check


def _text(pattern: Any | None = None, words: str = "text") -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or (pattern is not None and not pattern.fullmatch(value)):
            _fault(where, value, words)

    return check


def _list(part: Check, least: int = 0) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or len(value) < least:
            _fault(where, value, "a list" + (" that is not empty" if least else ""))
        for i, one in enumerate(value):
            part(one, f"{where}[{i}]")

    return check


def _map(key: Check, part: Check) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fault(where, value, "an object")
        for name, one in value.items():
            key(name, f"a key of {where}")
            part(one, f"{where}.{name}")

    return check


def _object(needed: dict[str, Check], known: dict[str, Check] | None = None) -> Check:
    """`needed` must be there, `known` may be."""

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fault(where, value, "an object")
        for name, part in {**needed, **(known or {})}.items():
            path = f"{where}.{name}" if where else name
            if name in value:
                part(value[name], path)
            elif name in needed:
                raise ManifestError(f"{path} is missing; export again")

    return check


def _maybe(part: Check) -> Check:
    return lambda value, where: None if value is None else part(value, where)


_WORDS, _NAME = _text(), _text(PLAIN, "a plain name of a file in the folder")
_COUNT, _COST, _POSITIVE = _number(whole=True), _number(), _number(above=0)
_SHARE, _PERCENT, _REAL = _number(0, 1), _number(0, 100), _number(-1e300)
_SHA256 = _text(re.compile("[0-9a-f]{64}"), "a checksum of 64 hexadecimal digits")
_CONFIGURATION = _object(
    {
        "id": _WORDS,
        "level": _COUNT,
        "network": _WORDS,
        "after": _list(_COUNT),
        "thresholds": _list(_SHARE),
    },
    {
        "top1_error_pct": _PERCENT,
        "latency_ms": _POSITIVE,
        "latency_worst_ms": _POSITIVE,
        "energy_mj": _maybe(_COST),
        "exit_rates": _list(_SHARE, least=1),
        "macs": _COUNT,
        "params": _COUNT,
        "cpu_mhz": _maybe(_POSITIVE),
        "emc_mhz": _maybe(_POSITIVE),
    },
)
_GOVERNED = _object(
    {
        "id": _WORDS,
        "subnet": _WORDS,
        "exits": _list(_COUNT, least=1),
        "thresholds": _list(_SHARE),
        "top1_error_pct": _PERCENT,
        "exit_rates": _list(_SHARE, least=1),
        "time_ms": _list(_list(_POSITIVE), least=1),
        "power_w": _list(_list(_POSITIVE), least=1),
        "source": _WORDS,
    }
)
_MANIFEST = _object(
    {
        "input": _object(
            {
                "mean": _maybe(_list(_REAL, least=1)),
                "std": _maybe(_list(_POSITIVE, least=1)),
                "classes": _maybe(_list(_WORDS)),
            }
        ),
        "networks": _map(
            _WORDS,
            _object(
                {
                    "subnet": _WORDS,
                    "exits": _list(_COUNT, least=1),
                    "temperatures": _list(_POSITIVE, least=1),
                    "segments": _list(_NAME, least=1),
                },
                {"statistics": _WORDS},
            ),
        ),
        "configurations": _list(_CONFIGURATION),
        "files": _map(
            _NAME,
            _object(
                {"sha256": _SHA256},
                {
                    "bytes": _COUNT,
                    "input": _list(_number(1, whole=True), least=1),
                    "outputs": _list(_WORDS),
                    "weight_bytes": _COUNT,
                },
            ),
        ),
    },
    {
        DIGEST: _SHA256,
        "device": _map(_WORDS, lambda value, where: None),
        "levels": _list(_map(_WORDS, lambda value, where: None)),
        "traces": _object({"file": _NAME, "sha256": _SHA256}),
        "precision": _text(re.compile("fp32|fp16|int8"), "fp32, fp16 or int8"),
        "kernels": _NAME,
        "shared": _object({"weights": _NAME, "statistics": _NAME, "slices": _NAME}),
        "governing": _maybe(
            _object(
                {
                    "mhz": _list(_POSITIVE, least=1),
                    "idle_w": _list(_COST, least=1),
                    "configurations": _list(_GOVERNED, least=1),
                }
            )
        ),
    },
)
