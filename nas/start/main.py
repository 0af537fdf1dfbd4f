"""The command line of an export: `python3 run.pyz classify`, `benchmark`, `govern`, `list`."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nas.board.control.sysfs import BoardError, Sysfs
from nas.runtime import Engine, Manifest, ManifestError, read_manifest
from nas.runtime.policies import Demands
from nas.start.benchmark import benchmark
from nas.start.govern import Governed, Load, check_positive, govern_frames, one_each
from nas.start.images import fitted, read_image

AT_ONCE = 32  # images that are answered together


def main(folder: str, arguments: Sequence[str] | None = None) -> None:
    """Run the command on the export in `folder`; one line and exit code 1 for what cannot be."""
    asked = _parser().parse_args(arguments)
    warnings.showwarning = _remark
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal shows `?` for what it lacks
    try:
        folders = asked.manifest or [folder]
        if asked.run is govern:
            govern(folders, asked)
        elif len(folders) > 1:
            raise ManifestError("`manifest` was given more than once; only govern takes several")
        else:
            asked.run(read_manifest(folders[0]), asked)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; nothing is left to flush at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (ManifestError, BoardError) as fault:
        print(f"run.pyz: {as_options(str(fault), vars(asked))}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:  # a full disk, a folder that is gone
        where = f" {error.filename}" if error.filename else ""
        print(f"run.pyz: cannot read or write{where}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None
    except ModuleNotFoundError as error:
        print(f"run.pyz: {error.name} is not installed: pip install {error.name}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as stop:  # which names the signal where it was not Ctrl-C
        raise SystemExit(128 + getattr(signal, str(stop), signal.SIGINT)) from None


def _remark(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line."""
    print(f"run.pyz: {message}", file=sys.stderr)


def as_options(text: str, asked: Mapping[str, object]) -> str:
    """`text` with the names of arguments in backticks as the options that a person typed."""

    def option(found: re.Match[str]) -> str:
        name = found.group(1)
        return f"--{name.replace('_', '-')}" if name in asked else found.group(0)

    return re.sub(r"`(\w+)`", option, text)


def classify(manifest: Manifest, asked: Any) -> None:
    """Print class, confidence and exit of every image."""
    id_ = asked.id or most_accurate(manifest)
    engine = Engine(manifest, threads=asked.threads)
    for first in range(0, len(asked.images), AT_ONCE):
        _classify(manifest, engine, id_, asked.images[first : first + AT_ONCE], asked.json)


def _classify(
    manifest: Manifest, engine: Engine, id_: str, paths: Sequence[str], as_json: bool
) -> None:
    """Print the answers of a few images, so that any number of them fits into memory."""
    answers = engine(id_, manifest.normalise(_images(manifest, id_, paths)))
    names = manifest.content["input"]["classes"]
    for i, path in enumerate(paths):
        number = int(answers.classes[i])
        row: dict[str, Any] = {
            "image": path,
            "class": names[number] if names else number,
            "configuration": id_,
        }
        row.update(confidence=round(float(answers.confidence[i]), 4), exit=int(answers.exits[i]))
        text = f"{path}: {row['class']}, {100 * row['confidence']:.1f} % sure, exit {row['exit']}"
        print(json.dumps(row) if as_json else f"{text}, {id_}")


def list_configurations(manifest: Manifest, asked: Any) -> None:
    """Print what can be chosen, with the figures of the table."""
    print(f"{'id':24} {'level':>5} {'error %':>8} {'ms':>9} {'mJ':>9}  exits asked")
    for found in manifest.content["configurations"]:
        row: dict[str, Any] = {**found}
        figures = (row.get(key) for key in ("top1_error_pct", "latency_ms", "energy_mj"))
        error, ms, mj = (f"{value:.3f}" if value is not None else "-" for value in figures)
        asks = manifest.network(found["id"])["exits"]
        print(f"{found['id']:24} {found['level']:5} {error:>8} {ms:>9} {mj:>9}  {asks}")


def measure(manifest: Manifest, asked: Any) -> None:
    """Print what configurations really take on this machine."""
    check_positive(repeats=[asked.repeats])
    ids = asked.id or _spread(manifest, asked.n)
    for row in benchmark(manifest, ids, repeats=asked.repeats, threads=asked.threads):
        print(
            json.dumps(row)
            if asked.json
            else f"{row['id']}: {row['median_ms']:.3f} ms median, {row['p99_ms']:.3f} p99, no exit "
            f"taken; prepared in {row['prepare_ms']:.1f} ms, {row['memory_mb']:.1f} MB (measured)"
        )


def govern(folders: Sequence[str], asked: Any) -> None:
    """Frames under the governor until Ctrl-C, or for `seconds`; one model or several."""
    n, budgets = len(folders), (asked.power_w, asked.energy_mj, asked.temperature_c)
    check_positive(
        target_ms=asked.target_ms,
        floor_error_pct=asked.floor_error_pct or [],
        period_ms=asked.period_ms or [],
        n_images=asked.n_images or [],
        **dict(zip(("power_w", "energy_mj", "temperature_c"), ([value] for value in budgets))),
    )
    targets, periods, sizes, floors = (
        one_each(name, getattr(asked, name) or [default], n)
        for name, default in (
            ("target_ms", 0.0),
            ("period_ms", 100.0),
            ("n_images", 1),
            ("floor_error_pct", 0.0),
        )
    )
    if not 0 <= asked.seconds < float("inf"):
        raise ManifestError(f"`seconds` must be 0 or more, got {asked.seconds:g}")
    models = []
    for folder, target, floor, period, size in zip(folders, targets, floors, periods, sizes):
        manifest = read_manifest(folder)
        demands = Demands(target, floor, *budgets, asked.policy)
        load = Load(_frames(manifest, asked.images, size), size, period, asked.seconds)
        models.append(Governed(manifest, demands, load))
    govern_frames(
        models,
        Sysfs(asked.root),
        state=asked.state,
        port=asked.port,
        memory_mb=asked.memory_mb,
    )


def most_accurate(manifest: Manifest) -> str:
    """The configuration with the least error; of several the one that takes least time."""

    def order(found: Any) -> tuple[float, float]:
        return found.get("top1_error_pct", 100.0), found.get("latency_ms", 0.0)

    return min(manifest.content["configurations"], key=order)["id"]


def _images(manifest: Manifest, id_: str, paths: Sequence[str]) -> np.ndarray:
    """uint8 (N, C, H, W) as the network of `id_` takes them."""
    shape = manifest.content["files"][manifest.network(id_)["segments"][0]]["input"]
    return np.stack([fitted(read_image(path), shape) for path in paths])


def _frames(manifest: Manifest, paths: Sequence[str], n_images: int) -> Iterator[np.ndarray]:
    """Frames of the images over and over; of noise without images."""
    first = manifest.ids[0]
    if paths:
        images = manifest.normalise(_images(manifest, first, paths))
    else:
        shape = manifest.content["files"][manifest.network(first)["segments"][0]]["input"]
        images = np.random.default_rng(0).standard_normal((64, *shape)).astype(np.float32)
    for start in itertools.count(0, n_images):
        yield images[np.arange(start, start + n_images) % len(images)]


def _spread(manifest: Manifest, n: int) -> list[str]:
    """`n` configurations of different networks, spread over the file."""
    firsts = {c["network"]: c["id"] for c in reversed(manifest.content["configurations"])}
    ids = [id_ for id_ in manifest.ids if id_ in set(firsts.values())]
    return [ids[i] for i in sorted(set(np.linspace(0, len(ids) - 1, max(n, 1)).astype(int)))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("run.pyz", description="Runs the networks of this folder.")
    parser.add_argument(
        "--manifest", action="append", help="exported folder (this one); govern takes several"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    found = _command(commands, "list", list_configurations, "what can be chosen")
    found = _command(commands, "classify", classify, "answer image files")
    found.add_argument("images", nargs="+", help=".npy, .png, .ppm; with Pillow any other")
    found.add_argument("--id", help="a configuration (default: the most accurate)")
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--json", action="store_true", help="one object a line")

    found = _command(commands, "benchmark", measure, "what configurations take here")
    found.add_argument("--id", action="append", help="a configuration; may be repeated")
    found.add_argument("--n", type=int, default=5, help="without --id: so many, spread (5)")
    found.add_argument("--repeats", type=int, default=200, help="images of each (200)")
    found.add_argument("--threads", type=int, default=1)
    found.add_argument("--json", action="store_true", help="one object a line")

    found = _command(commands, "govern", govern, "choose subnet, exits and clock for every frame")
    found.add_argument("images", nargs="*", help="images of the frames (default: noise)")
    each = {"action": "append", "metavar": "X"}  # once for all models, or once for each
    more = " (of several models: one for all, or one each in order)"
    found.add_argument(
        "--target-ms", type=float, required=True, help="arrival to last answer" + more, **each
    )
    found.add_argument("--floor-error-pct", type=float, help="largest error", **each)
    found.add_argument("--power-w", type=float, help="whole board, while a frame runs")
    found.add_argument("--energy-mj", type=float, help="whole board, of one image")
    found.add_argument("--temperature-c", type=float, help="slower clocks above it")
    found.add_argument(
        "--policy", default="time", help="what is kept longest: time, accuracy or energy"
    )
    found.add_argument("--period-ms", type=float, help="a frame every so often (100)", **each)
    found.add_argument("--n-images", type=int, help="images of a frame (1)", **each)
    found.add_argument("--seconds", type=float, default=0.0, help="0: until Ctrl-C")
    found.add_argument(
        "--memory-mb", "--memory", type=float, help="MB of prepared networks (default: no limit)"
    )
    found.add_argument("--state", default="governor.json", help="its state as JSON")
    found.add_argument("--port", type=int, default=0, help="Prometheus text; 0: none")
    found.add_argument("--root", default=os.sep, help=argparse.SUPPRESS)
    return parser


def _command(commands: Any, name: str, run: Any, words: str) -> Any:
    made = commands.add_parser(name, help=words, description=words)
    made.set_defaults(run=run)
    return made
