"""Look-up tables in once-for-all's format: YAML, one file per resolution, a block per key.

Keys as in `ofa/nas/efficiency_predictor/latency_lookup_table.py` of mit-han-lab/once-for-all (MIT):
`expanded_conv-input:HxWxC-output:HxWxC-expand:MID-kernel:K-stride:S-idskip:I-se:B-hs:B`, and
`Conv`, `Conv_1`, `AvgPool2D`, `Conv_2`, `Logits` with input and output alone.
"""

from __future__ import annotations

import re
import statistics
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from search_spaces import InputError, MobileNetV3Space, Subnet, read_text, write_text

HARD_SWISH = (0, 0, 1, 1, 1)  # stages whose activation is h-swish (Howard et al., 2019, table 1)
KINDS = r"(expanded_conv|Conv|Conv_1|Conv_2|AvgPool2D|Logits)(-|$)"
MAX_BYTES, MAX_DEPTH, MOST_MS = 1 << 23, 8, 1e9
_N = r"(\d{1,5})"
BLOCK = rf"expanded_conv-input:{_N}x\d+x{_N}-output:{_N}x\d+x{_N}-expand:{_N}-kernel:{_N}-.*"
LEAST_PER_MS, MOST_PER_MS = 1e5, 3e9  # multiplications that any device makes of this network
USUAL_PER_MS = 1e6, 5e8  # of a small board's CPU, of a desktop's GPU
Entry = dict[str, float]


class FamilyError(InputError):
    """A look-up table of other networks, or of another tool."""


def read_ofa_lut(path: Path | str) -> dict[int, dict[str, Entry]]:
    """Tables by resolution: `{key: {mean, std, count}}`, mean and std in ms; std, count optional.

    `path` is a folder of `{resolution}_lookup_table.yaml`, or one such file. InputError names the
    file and what is wrong with it.
    """
    path = Path(path)
    files = sorted(path.glob("*_lookup_table.yaml")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path} holds no RESOLUTION_lookup_table.yaml")
    tables = {}
    for file in files:
        named = re.fullmatch(r"(\d+)_lookup_table\.yaml", file.name)
        if not named:
            _name_family(file)
            raise InputError(f"{file} must be named RESOLUTION_lookup_table.yaml")
        tables[int(named[1])] = _read(file)
    return tables


def _read(file: Path) -> dict[str, Entry]:
    text = read_text(file, limit=MAX_BYTES)
    try:
        _check_depth(file, text)
        content = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise InputError(f"cannot read {file}: {str(error).splitlines()[0]}") from None
    except (ValueError, RecursionError) as error:  # of dates, of numbers with many digits
        raise InputError(f"cannot read {file}: {str(error)[:200]}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file} is no table of operators")
    _check_family(file, [str(key) for key in content])
    for key, entry in content.items():
        mean = entry.get("mean") if isinstance(entry, dict) else None
        if isinstance(mean, str) and re.fullmatch(r"\d+(\.\d+)?[eE][+-]?\d+", mean):
            mean = entry["mean"] = float(mean)  # YAML 1.1 takes 5e-05 for a text
        if not isinstance(mean, int | float) or not 0 <= mean < MOST_MS:
            raise InputError(f"{file}: {key} needs a mean in ms, got {entry!r}")
    _check_unit(file, {str(key): entry["mean"] for key, entry in content.items()})
    return {str(key): dict(entry) for key, entry in content.items()}


def _check_unit(file: Path, means: Mapping[str, float]) -> None:
    """InputError where times can only be of another unit than ms, by the middle block.

    A warning where they may be: of a fast device in us, of a slow one in s.
    """
    rates = [_macs(key) / max(mean, 1e-12) for key, mean in means.items() if _macs(key)]
    if not rates:
        return
    rate, (low, high) = statistics.median(rates), USUAL_PER_MS
    words = f"{file}: the middle block makes {rate:.2g} multiplications in a ms, which"
    unit = "seconds" if rate > high else "microseconds"
    if not LEAST_PER_MS <= rate <= MOST_PER_MS:
        raise InputError(
            f"{words} no device does ({LEAST_PER_MS:g} to {MOST_PER_MS:g}); `mean` is in ms, it "
            f"looks like {unit}"
        )
    if not low <= rate <= high:
        warnings.warn(
            f"{words} few devices do ({low:g} to {high:g}); `mean` is in ms: is it in {unit}?",
            stacklevel=2,
        )


def _macs(key: str) -> int:
    """Multiplications of an `expanded_conv` block; 0 for other keys."""
    found = re.fullmatch(BLOCK, key)
    if found is None:
        return 0
    side_in, c_in, side, c_out, mid, kernel = map(int, found.groups())
    return side_in**2 * c_in * mid + side**2 * mid * (kernel**2 + c_out)


def _name_family(file: Path) -> None:
    """FamilyError where a file of another name holds another family's table."""
    try:
        _read(file)
    except FamilyError:
        raise
    except InputError:  # its name says enough
        return


def _check_depth(file: Path, text: str) -> None:
    """InputError where the text is nested deeper than a table is: building it would overflow."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{file} has a reference (*{event.anchor}); write the table out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise InputError(f"{file} is nested deeper than {MAX_DEPTH} levels: no table is")


def _check_family(file: Path, keys: list[str]) -> None:
    """InputError where the keys are those of another tool's table."""
    blocks = [key for key in keys if key.startswith("expanded_conv-")]
    strange = next((key for key in keys if not re.match(KINDS, key)), None)
    if blocks and not any("-se:" in key for key in blocks):
        family = "ProxylessNAS (its blocks say nothing of squeeze-and-excite)"
    elif any(re.fullmatch(r"[a-z0-9]+-input:.*-residual:[01]", key) for key in keys):
        family = "`nas measure --per-operator`"
    elif strange is not None:
        family = f"another family (key {strange[:80]!r})"
    else:
        return
    raise FamilyError(
        f"{file} is a table of {family}; once-for-all's MobileNetV3 has keys like "
        "expanded_conv-input:56x56x24-output:28x28x40-expand:144-kernel:5-stride:2-idskip:0-se:1-hs:0"
    )


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is


def write_ofa_lut(folder: Path | str, tables: Mapping[int, Mapping[str, Entry]]) -> None:
    """Write tables by resolution as once-for-all's tools read them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for resolution, table in tables.items():
        plain = {key: dict(entry) for key, entry in table.items()}
        text = yaml.safe_dump(plain, sort_keys=False, width=1000)
        write_text(folder / f"{resolution}_lookup_table.yaml", text)


def ofa_keys(space: MobileNetV3Space, subnet: Subnet) -> list[str]:
    """The keys of `subnet` without early exits, in order; the table of its resolution has them."""
    side_in = subnet["r"][0]
    side = _half(side_in)
    stem, first = space.layer_widths[:2]
    keys = [
        _key("Conv", side_in, space.in_channels, side, stem),
        _block(side, stem, side, first, stem, 3, 1, stem == first, False, False),
    ]
    for s in range(space.n_stages):
        for b, (kept, c_in, kernel, mid, _, c_out) in enumerate(space.block_sizes(s, subnet)):
            if not kept:
                break
            stride = 1 if b else space.strides[s]
            out, skip = side if stride == 1 else _half(side), stride == 1 and c_in == c_out
            about = kernel, stride, skip, space.squeezes[s], bool(HARD_SWISH[s])
            keys.append(_block(side, c_in, out, c_out, mid, *about))
            side = out
    c_in, wide, mixed = space.layer_widths[-3:]
    return [
        *keys,
        _key("Conv_1", side, c_in, side, wide),
        _key("AvgPool2D", side, wide, 1, wide),
        _key("Conv_2", 1, wide, 1, mixed),
        f"Logits-input:1x1x{mixed}-output:{space.n_classes}",
    ]


def _key(kind: str, side_in: int, c_in: int, side_out: int, c_out: int) -> str:
    return f"{kind}-input:{side_in}x{side_in}x{c_in}-output:{side_out}x{side_out}x{c_out}"


def _block(
    side_in: int,
    c_in: int,
    side_out: int,
    c_out: int,
    mid: int,
    kernel: int,
    stride: int,
    skip: bool,
    squeeze: bool,
    hard_swish: bool,
) -> str:
    return (
        _key("expanded_conv", side_in, c_in, side_out, c_out)
        + f"-expand:{mid}-kernel:{kernel}-stride:{stride}-idskip:{skip:d}-se:{squeeze:d}"
        + f"-hs:{hard_swish:d}"
    )


def _half(side: int) -> int:
    return (side + 1) // 2
