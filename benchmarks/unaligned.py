"""Block-sparse kernels against dense ones: the layers of MobileNetV1 at 224 and of the zoo.

    taskset -c 1 python benchmarks/unaligned.py

Batch 1, one thread, runs of all contenders in turn in one process, CPU time of the thread (what
others do on the machine does not count, but what they leave in the caches does). Each side computes
convolution, bias and ReLU. Random weights: time does not depend on their values. `--networks` adds
whole networks, `--summary` prints what the result file says.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from dense import Run, block_formats, dense_runs, onnx_run, peak_run
from layouts import layout_run
from mobilenet import BLOCKS, LAST, mobilenet
from nas.devices.host import cpu_name
from nas.runtime import machine_code
from nas.runtime.program import Kernels, ProgramSession
from search_spaces import write_text
from supernets import GlobalMean, Segment, StaticNet, extract, load_supernet
from supernets.kernels import PackedConv2d, jobs, pack, pack_network, translate, write_segment
from supernets.kernels.sparse import ALIGNED, IN_MEMORY, ROTATING
from supernets.pruning import block_mask, select_blocks
from supernets.pruning.network import prunable, select_network, weight_mask
from supernets.static import channels_last
from supernets.training.memory import keep_freed_memory

RESULTS = Path(__file__).parent / "results" / "unaligned.json"
BLOCK_ROWS, SPARSITIES = (4, 8), (0.7, 0.8, 0.9, 0.95)
BEGINS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # where it may begin to pay, g = 4
LAYOUTS = ((1, 4), (2, 4))  # outputs x inputs of a block, beside 4 x 1
WALKS = {"unaligned": (ROTATING, "exact"), "aligned": (ALIGNED, "aligned")}
DENSE_PEAK = 0.8  # a dense kernel that reaches this share of the core's peak is assumed to exist

HELD: list[object] = []  # machine code that was translated for a measurement


class Shape(NamedTuple):
    network: str
    rows: int
    channels: int
    taps: int
    side: int  # of the input
    stride: int
    count: int  # layers of this shape in the network

    @property
    def operations(self) -> float:
        pixels = ((self.side - 1) // self.stride + 1) ** 2
        return 2.0 * self.rows * self.channels * self.taps**2 * pixels


def mobilenet_shapes() -> list[Shape]:
    shapes, side, channels = [], 112, 32
    for rows, stride in BLOCKS + LAST:
        side //= stride
        shapes.append(Shape("mobilenet", rows, channels, 1, side, 1, 1))
        channels = rows
    return [s._replace(count=shapes.count(s)) for s in dict.fromkeys(shapes)]


def zoo_net() -> StaticNet:
    path = Path(str(files("supernets"))) / "zoo/resnet-cifar10/weights.safetensors"
    supernet, _ = load_supernet(path)
    space = supernet.space
    return extract(supernet, space.subnet(space.largest), heads=[space.n_exits])


def zoo_shapes() -> list[Shape]:
    net, shapes = zoo_net(), []

    def note(conv: nn.Conv2d, inputs: Any, output: Any) -> None:
        taps, stride = conv.kernel_size[0], conv.stride[0]
        size = conv.out_channels, conv.in_channels, taps, inputs[0].shape[-1], stride
        shapes.append(Shape("zoo", *size, 1))

    for conv in prunable(net, 4).values():
        conv.register_forward_hook(note)
    net(torch.zeros(1, 3, 32, 32))
    return [s._replace(count=shapes.count(s)) for s in dict.fromkeys(shapes)]


def sparse_layer(conv: nn.Conv2d, g: int, sparsity: float, walk: str, method: str) -> PackedConv2d:
    weight = conv.weight.detach().contiguous().numpy()
    starts = select_blocks({"w": weight}, g, sparsity, method=method)["w"]
    packed = pack("w", weight, starts, g, conv.bias.detach().numpy())
    stride, padding = conv.stride[0], conv.padding[0]
    return PackedConv2d(packed, stride=stride, padding=padding, low=0.0, walk=walk)


def contenders(shape: Shape) -> dict[str, Run]:
    """Everything that computes a layer of this shape, checked against torch."""
    torch.manual_seed(0)
    conv = nn.Conv2d(shape.channels, shape.rows, shape.taps, shape.stride, shape.taps // 2)
    x = torch.randn(1, shape.channels, shape.side, shape.side)
    runs = dense_runs(conv, x)
    layers = {
        f"{name} {g} {sparsity}": sparse_layer(conv, g, sparsity, *walk)
        for name, walk in WALKS.items()
        for g in BLOCK_ROWS
        for sparsity in SPARSITIES
    }
    layers |= {f"unaligned 4 {s}": sparse_layer(conv, 4, s, *WALKS["unaligned"]) for s in BEGINS}
    if shape.taps == 1 and shape.stride == 1:
        for g in BLOCK_ROWS:
            layers[f"in_memory {g} 0.9"] = sparse_layer(conv, g, 0.9, IN_MEMORY, "exact")
        weight = conv.weight.detach().contiguous().numpy()
        starts = select_blocks({"w": weight}, 4, 0.9, method="aligned")["w"]
        pruned = weight.reshape(len(weight), -1) * block_mask(starts, 4)
        runs |= block_formats(pruned, x, 4)
        runs |= {f"{a} x {b} 0.9": layout_run(conv, x, a, b, 0.9) for a, b in LAYOUTS}
    for layer in layers.values():
        torch.testing.assert_close(layer(x), layer.forward_dense(x), rtol=1e-4, atol=1e-4)
    return runs | {name: lambda layer=layer: layer(x) for name, layer in layers.items()}


def samples_us(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """CPU microseconds of every run; contenders take turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 2):
        for name, run in runs.items():
            run()  # not timed: the run before was another's, and left its data in the caches
            start = time.thread_time_ns()
            run()
            if i >= 2:
                found[name].append(round((time.thread_time_ns() - start) / 1e3, 1))
    return found


def layer_row(shape: Shape, rounds: int) -> dict[str, Any]:
    peak, operations = peak_run()
    samples = samples_us(contenders(shape) | {"peak": peak}, rounds)
    peak_rate = operations / min(samples.pop("peak"))  # per microsecond
    row = {**shape._asdict(), "peak_gflops": round(peak_rate / 1e3, 1)}
    row["dense_at_80_pct_of_peak_us"] = round(shape.operations / (DENSE_PEAK * peak_rate), 1)
    return {**row, **centres(samples), "samples_us": samples}


def centres(samples: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The median of every contender, and its least time, which a busy machine disturbs less."""
    return {
        "median_us": {name: round(float(np.median(s)), 1) for name, s in samples.items()},
        "least_us": {name: min(s) for name, s in samples.items()},
    }


DENSE = ("torch_nchw", "torch_channels_last", "onednn_blocked", "onednn_fused", "onnx_runtime")


def best_dense(row: dict[str, Any], names: tuple[str, ...], of: str) -> float:
    """The fastest dense time; our own counts as at least 80 % of the core's peak."""
    times = [row[of][name] for name in names]
    return float(min([*times, row["dense_at_80_pct_of_peak_us"]] if "own" in names else times))


def geometric_mean(rows: list[dict[str, Any]], values: list[float]) -> float:
    """Over layers, each as often as the network has it."""
    counts = [row["count"] for row in rows]
    return float(np.exp(np.average(np.log(values), weights=counts)))


def network_rows(rounds: int) -> Iterator[dict[str, Any]]:
    """Whole networks at 90 %, g = 4, one image: kernels, PyTorch and ONNX Runtime."""
    torch.manual_seed(0)
    mobile, zoo = mobilenet().eval(), zoo_net()
    for name, net, side in (("mobilenet", mobile, 224), ("zoo", zoo, 32)):
        convolutions = prunable(net, 4)
        starts = select_network(convolutions, 4, 0.9)
        for key, conv in convolutions.items():
            conv.weight.data *= weight_mask(starts[key], 4, conv.weight)
        packed, x = pack_network(net, starts, 4), torch.randn(1, 3, side, side)
        first = first_run_ms(packed, x)
        folded = net.fold() if isinstance(net, StaticNet) else fuse(net)
        plain = copy.deepcopy(folded).to(memory_format=torch.contiguous_format)
        folded = channels_last(folded)
        last = x.to(memory_format=torch.channels_last)
        segment = folded.segments[0] if isinstance(folded, StaticNet) else mobile_segment(folded)
        whole = nn.Sequential(segment.trunk, segment.head)
        sessions, loaded = program_sessions(whole, tuple(x.shape[1:]))
        image = {"input": x.numpy()}
        runs = {
            "program": lambda run=sessions[1].run, image=image: run(None, image),
            "kernels": lambda packed=packed, x=x: packed(x),
            "torch_nchw": lambda plain=plain, x=x: plain(x),
            "torch_channels_last": lambda folded=folded, x=last: folded(x),
            "onnx_runtime": onnx_run(segment.trunk, segment.head, x, "logits"),
        }
        samples = samples_us(runs, rounds)
        row = {"network": name, "g": 4, "sparsity": 0.9, "side": side, "rounds": rounds}
        row |= {**first, "program": loaded}
        row |= centres(samples)
        row["wall_us_of_threads"] = threads_us(sessions, image, rounds)
        yield {**row, "samples_us": samples}


def mobile_segment(folded: nn.Module) -> Segment:
    """MobileNet as our ONNX graphs have it."""
    *trunk, _, _, classifier = folded.children()
    return Segment(nn.Sequential(*trunk), nn.Sequential(GlobalMean(), classifier))


def first_run_ms(packed: nn.Module, x: Tensor) -> dict[str, float]:
    """CPU milliseconds of the first run with an empty cache, then with a full one.

    `load` is the part of the latter in which code is read and linked; the rest plans, and runs.
    """
    known, found = (translate._symbols, translate._engine), {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for name in ("translated_ms", "from_cache_ms"):
            HELD.append(translate._engine)  # code that others call must stay
            translate._symbols, translate._engine = {}, cache(translate._engine.__wrapped__)
            jobs._walks.cache_clear()
            again, start = copy.deepcopy(packed), time.thread_time_ns()
            again(x)
            found[name] = round((time.thread_time_ns() - start) / 1e6, 1)
        codes, start = list(translate._symbols), time.thread_time_ns()
        translate._symbols, translate._engine = {}, cache(translate._engine.__wrapped__)
        for code in codes:
            translate.address(code, "serial" if code is jobs.WALK else "kernel")
        found["load_ms"] = round((time.thread_time_ns() - start) / 1e6, 1)
        del os.environ["XDG_CACHE_HOME"]
    translate._symbols, translate._engine = known
    jobs._walks.cache_clear()
    return {**found, "n_kernels": len(codes)}


def program_sessions(
    net: nn.Module, shape: tuple[int, ...]
) -> tuple[dict[int, ProgramSession], dict[str, float]]:
    """The network as an exported folder runs it, by threads; CPU milliseconds of loading it.

    `translated_ms` is with an empty cache, `from_cache_ms` with a full one; both with the weights.
    """
    found, sessions = {}, {}
    own = machine_code.processor_kind()[0]
    with tempfile.TemporaryDirectory() as name:
        written = write_segment(net, shape, 4, kinds=[own])
        kernels = Kernels(written.texts, {"net": written.described})
        tensors = {name: tensor.numpy() for name, tensor in written.tensors.items()}
        os.environ["XDG_CACHE_HOME"] = name
        for key in ("translated_ms", "from_cache_ms"):
            start = time.thread_time_ns()
            sessions[1] = ProgramSession(kernels, "net", tensors)
            found[key] = round((time.thread_time_ns() - start) / 1e6, 1)
        sessions[2] = ProgramSession(kernels, "net", tensors, threads=2)
        sessions[2].ways = sessions[2].ways[-1:]  # two, whatever is faster
        del os.environ["XDG_CACHE_HOME"]
    return sessions, found


def threads_us(
    sessions: dict[int, ProgramSession], image: dict[str, Any], rounds: int
) -> dict[str, list[float]]:
    """Wall time with one thread and with two, in turn."""
    found: dict[str, list[float]] = {str(n): [] for n in sessions}
    for i in range(4 * rounds + 2):
        for n, session in sessions.items():
            start = time.perf_counter()
            session.run(None, image)
            if i >= 2:
                found[str(n)].append(round(1e6 * (time.perf_counter() - start), 1))
    return found


def summary(result: dict[str, Any], of: str) -> Iterator[str]:
    """What the rows say; `of` is median_us or least_us."""
    for network, names in (("mobilenet", (*DENSE, "own")), ("zoo", DENSE)):
        rows = [r for r in result.get("layers", []) if r["network"] == network]
        for g in BLOCK_ROWS if rows else ():
            for s in SPARSITIES:
                yield f"{network} g={g} {s:.0%}: " + compared(rows, g, s, names, of)
        for row in rows:
            pays = [s for s in BEGINS if row[of][f"unaligned 4 {s}"] < best_dense(row, names, of)]
            dense = min(DENSE, key=lambda n, row=row: row[of][n])
            yield (
                f"  {row['rows']}x{row['channels']}x{row['taps']}x{row['taps']} at {row['side']}: "
                f"{dense} {row[of][dense]:.0f} us, 90 % {row[of]['unaligned 4 0.9']:.0f} us, "
                f"pays from {min(pays, default=np.nan):.0%}"
            )
    for row in result.get("networks", []):
        threads = row["wall_us_of_threads"]
        two = min(threads["1"]) / min(threads["2"])
        yield f"{row['network']}: {row[of]}, by two threads {two:.2f} x"
        yield (
            f"  first run {row['translated_ms']} ms, from the cache {row['from_cache_ms']} ms, of "
            f"which loading {row['n_kernels']} kernels {row['load_ms']} ms"
        )


def compared(rows: list[dict[str, Any]], g: int, s: float, names: tuple[str, ...], of: str) -> str:
    """Geometric means over the layers of a network: over dense ones, over aligned blocks."""
    ours = [row[of][f"unaligned {g} {s}"] for row in rows]
    aligned = [row[of][f"aligned {g} {s}"] for row in rows]
    gains = [best_dense(row, names, of) / t for row, t in zip(rows, ours, strict=True)]
    ratios = [t / a for t, a in zip(ours, aligned, strict=True)]
    long = [r for r, a in zip(ratios, aligned, strict=True) if a > 50]
    memory = [row[of].get(f"in_memory {g} {s}", np.nan) for row in rows]
    text = (
        f"{geometric_mean(rows, gains):.2f} x over the best dense (least {min(gains):.2f}), "
        f"{geometric_mean(rows, ratios):.3f} of aligned (over 50 us at most "
        f"{max(long, default=np.nan):.3f})"
    )
    return text + (
        f", in memory {geometric_mean(rows, list(np.divide(memory, aligned))):.2f}"
        if s == 0.9
        else ""
    )


def add_layers(result: dict[str, Any], asked: argparse.Namespace, about: dict[str, Any]) -> None:
    """Rows of the layers that have none; the file is written behind each."""
    start = time.monotonic()
    if asked.again or result.get("rounds") != asked.rounds:
        result |= {**about, "rounds": asked.rounds, "layers": []}
    known = {tuple(row[field] for field in Shape._fields) for row in result["layers"]}
    for shape in (*mobilenet_shapes(), *zoo_shapes()):
        if shape not in known and time.monotonic() - start < asked.seconds:
            result["layers"].append({**layer_row(shape, asked.rounds), "state": about["state"]})
            write_text(RESULTS, json.dumps(result) + "\n")
            print(shape, result["layers"][-1]["median_us"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no layer after these")
    parser.add_argument("--again", action="store_true", help="begin anew")
    parser.add_argument("--networks", action="store_true", help="whole networks alone, added")
    parser.add_argument("--summary", action="store_true", help="print what the result file says")
    asked = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    torch.set_num_threads(1)
    keep_freed_memory()  # else the kernel clears the outputs' pages anew for every run of any side
    about = {"cpu": cpu_name(), "torch": torch.__version__, "batch": 1, "threads": 1}
    about |= {"timer": "CPU time of the thread", "state": f"load {os.getloadavg()[0]:.1f}"}
    with torch.inference_mode():
        if asked.networks:
            result["networks"] = [{**row, **about} for row in network_rows(asked.rounds)]
        elif not asked.summary:
            add_layers(result, asked, about)
    if not asked.summary:
        write_text(RESULTS, json.dumps(result) + "\n")
    for of in ("median_us", "least_us"):
        print(f"{of}:", *summary(result, of), sep="\n")


if __name__ == "__main__":
    main()
