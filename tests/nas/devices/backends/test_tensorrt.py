"""`trtexec`: its command line, its two outputs, and what happens when it fails.

No GPU is here, so a script stands in for NVIDIA's program. It takes the same flags, refuses others,
reads the ONNX file, and writes both formats of `--exportTimes` and of the printed summary.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.board.bench import trtexec as board_trtexec
from nas.board.bench.trtexec import Trtexec, check_built, read_times
from nas.board.control.sysfs import BoardError
from nas.devices import HostDevice
from nas.devices.backends.tensorrt import read_summary, run_trtexec, trtexec_command
from nas.onnx.graph import program_model
from search_spaces import InputError, get_space
from supernets import build_supernet, extract

DIGITS = get_space("resnet-digits")

# Summaries as releases 8.6 and 8.2 print them, and the records of their times.
NEW = """\
[10/31/2023-15:06:14] [I] === Performance summary ===
[10/31/2023-15:06:14] [I] Throughput: 8130.4 qps
[10/31/2023-15:06:14] [I] Latency: min = 0.118652 ms, max = 0.180206 ms, mean = 0.120218 ms, \
median = 0.119873 ms, percentile(90%) = 0.12085 ms, percentile(95%) = 0.12085 ms, \
percentile(99%) = 0.121 ms
[10/31/2023-15:06:14] [I] Enqueue Time: min = 0.00195312 ms, max = 0.0180664 ms, \
mean = 0.00231 ms, median = 0.00219727 ms, percentile(90%) = 0.00268555 ms, \
percentile(95%) = 0.00292969 ms, percentile(99%) = 0.00390625 ms
[10/31/2023-15:06:14] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms, \
percentile(90%) = 0 ms, percentile(95%) = 0 ms, percentile(99%) = 0 ms
[10/31/2023-15:06:14] [I] GPU Compute Time: min = 0.118652 ms, max = 0.180206 ms, \
mean = 0.120218 ms, median = 0.119873 ms, percentile(90%) = 0.12085 ms, \
percentile(95%) = 0.1209 ms, percentile(99%) = 0.121 ms
[10/31/2023-15:06:14] [I] Total GPU Compute Time: 2.98 s
"""
OLD = """\
[08/09/2022-06:54:41] [I] Latency: min = 41.3 ms, max = 43.3 ms, mean = 42.2 ms, \
median = 42.1 ms, percentile(99%) = 43.3 ms
[08/09/2022-06:54:41] [I] End-to-End Host Latency: min = 41.4 ms, max = 43.5 ms, mean = 42.3 ms, \
median = 42.2 ms, percentile(99%) = 43.5 ms
[08/09/2022-06:54:41] [I] GPU Compute Time: min = 41.1855 ms, max = 43.0625 ms, \
mean = 42.0431 ms, median = 41.9604 ms, percentile(99%) = 43.0625 ms
"""
NEW_RECORDS = """[
  { "startEnqMs" : 0.0102, "endEnqMs" : 0.0131, "startH2dMs" : 0.0, "endH2dMs" : 0.0, \
"startComputeMs" : 0.0143, "endComputeMs" : 0.1342, "startD2hMs" : 0.1342, "endD2hMs" : 0.1342, \
"h2dMs" : 0.0, "computeMs" : 0.1199, "d2hMs" : 0.0, "latencyMs" : 0.1199 }
, { "startEnqMs" : 0.1302, "endEnqMs" : 0.1331, "startH2dMs" : 0.0, "endH2dMs" : 0.0, \
"startComputeMs" : 0.1343, "endComputeMs" : 0.2553, "startD2hMs" : 0.2553, "endD2hMs" : 0.2553, \
"h2dMs" : 0.0, "computeMs" : 0.121, "d2hMs" : 0.0, "latencyMs" : 0.121 }
]
"""
OLD_RECORDS = """[
  { "startInMs" : 0.1, "endInMs" : 0.2, "startComputeMs" : 0.2, "endComputeMs" : 42.2, \
"startOutMs" : 42.2, "endOutMs" : 42.3, "inMs" : 0.1, "computeMs" : 42.0, "outMs" : 0.1, \
"latencyMs" : 42.2, "endToEndMs" : 84.3 }
]
"""

STAND_IN = f"""#!{sys.executable}
import json, os, sys
import numpy as np
import onnx

known = ("onnx", "minShapes", "optShapes", "maxShapes", "shapes", "fp16", "int8", "warmUp",
         "duration", "iterations", "useSpinWait", "useCudaGraph", "noDataTransfers", "exportTimes",
         "saveEngine", "loadEngine")
options = dict(a.removeprefix("--").partition("=")[::2] for a in sys.argv[1:])
print("&&&& RUNNING TensorRT.trtexec [TensorRT v8600] #", " ".join(sys.argv))
if set(options) - set(known):
    print("[11/21/2026-08:00:00] [E] Unknown option:", *(set(options) - set(known)))
    sys.exit(1)
if os.environ.get("STAND_IN_RELEASE") == "11":  # no precision but the network's
    refused = {{"fp16", "int8", "useSpinWait"}} & set(options)
    if refused:
        print("[E] Unknown option: --" + refused.pop() + "")
        sys.exit(1)
    types = {{w.data_type for w in onnx.load(options["onnx"]).graph.initializer}} \
        if "onnx" in options else set()
    options |= {{"fp16": ""}} if onnx.TensorProto.FLOAT16 in types else {{}}
if "loadEngine" in options:
    precision, batch = open(options["loadEngine"]).read().split()
    records = [{{"latencyMs": 0.5 / (2 if precision == "fp16" else 1)}}] * 250
    json.dump(records, open(options["exportTimes"], "w"))
    sys.exit(0)
if os.environ.get("STAND_IN_FAULT") == "other":
    print("[I] Precision: FP32")
if os.environ.get("STAND_IN_FAULT") == "memory":
    print("[11/21/2026-08:00:00] [W] small workspace")
    print("[11/21/2026-08:00:00] [E] Error[2]: out of memory while building an engine")
    sys.exit(1)
model = onnx.load(options["onnx"])
onnx.checker.check_model(model)
(image,) = model.graph.input
sides = [d.dim_value for d in image.type.tensor_type.shape.dim][1:]
shapes = {{options[kind] for kind in ("minShapes", "optShapes", "maxShapes", "shapes")}}
name, _, shape = shapes.pop().partition(":")
batch, *given = map(int, shape.split("x"))
assert not shapes and name == image.name and given == sides
if "saveEngine" in options:
    precision = "int8" if "int8" in options else "fp16" if "fp16" in options else "fp32"
    open(options["saveEngine"], "w").write(precision + " " + str(batch))
    print("[11/21/2026-08:00:00] [W] [TRT] Detected subnormal FP16 values.")
    print("[11/21/2026-08:00:01] [W] [TRT] Detected subnormal FP16 values.")
    print("[I] Precision: FP32" + ("+" + precision.upper() if precision != "fp32" else ""))
    sys.exit(0)
speed = 3 if "int8" in options else 2 if "fp16" in options else 1
rng = np.random.default_rng(0)
times = batch * (0.5 + 0.1 * rng.random(max(int(options["iterations"]), 250))) / speed
records = [{{"startComputeMs": float(i), "endComputeMs": i + t, "computeMs": t, "h2dMs": 0.0,
            "d2hMs": 0.0, "latencyMs": t}} for i, t in enumerate(times.tolist())]
if os.environ.get("STAND_IN_FAULT") == "times":
    records = records[:50] + [{{"latencyMs": "soon"}}]
if os.environ.get("STAND_IN_FAULT") == "format":
    records = [r | {{"latencyMs": 9.0}} for r in records]
with open(options["exportTimes"], "w") as file:
    json.dump(records, file)
print("[11/21/2026-08:00:00] [I] GPU Compute Time: min = %g ms, max = %g ms, mean = %g ms, "
      "median = %g ms, percentile(99%%) = %g ms" % (times.min(), times.max(), times.mean(),
      np.median(times), np.percentile(times, 99)))
print("&&&& PASSED TensorRT.trtexec")
"""


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return program


def test_the_printed_summary_is_read() -> None:
    assert read_summary(NEW) == {
        **{"min": 0.118652, "max": 0.180206, "mean": 0.120218, "median": 0.119873},
        **{"p90": 0.12085, "p95": 0.1209, "p99": 0.121},
    }
    assert read_summary(NEW, "Enqueue Time")["median"] == 0.00219727
    assert read_summary(OLD)["p99"] == 43.0625
    assert read_summary(OLD)["median"] == 41.9604
    assert read_summary("GPU Compute Time: min = 1e-05 ms, median = 2.5e-05 ms")["median"] == 2.5e-5
    assert read_summary("&&&& FAILED TensorRT.trtexec") == {}


def test_both_formats_of_exported_times_are_read(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(NEW_RECORDS)
    assert read_times(str(path)) == [0.1199, 0.121]
    path.write_text(OLD_RECORDS)
    assert read_times(str(path)) == [42.2]
    path.write_text('[{"startComputeMs": 1.0, "endComputeMs": 3.5}]')
    assert read_times(str(path)) == [2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no readable times"),
        ("[{]", "no readable times"),
        ('{"latencyMs": 1}', "no readable times"),
        ("[1, 2]", "no readable times"),
        ('[{"computeMs": 1}]', "no readable times"),
        ("[]", "wrote 0 times"),
        ('[{"latencyMs": 0}]', "expected positive"),
        ('[{"latencyMs": NaN}]', "expected positive"),
    ],
)
def test_damaged_times_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(BoardError, match=message) as caught:
        read_times(str(path))
    assert "\n" not in str(caught.value)


def test_the_command_line_names_one_shape_four_times() -> None:
    command = trtexec_command(
        "trtexec",
        Path("a b.onnx"),
        Path("t.json"),
        shape=(8, 3, 32, 32),
        precision="int8",
        seconds=0.3,
    )
    assert command[:2] == ["trtexec", "--onnx=a b.onnx"]
    for kind in ("min", "opt", "max"):
        assert f"--{kind}Shapes=input:8x3x32x32" in command
    assert {"--shapes=input:8x3x32x32", "--int8", "--duration=1", "--iterations=100"} <= set(
        command
    )
    assert "--fp16" not in command


@pytest.mark.parametrize(("precision", "speed"), [("fp32", 1), ("fp16", 2), ("int8", 3)])
def test_rows_come_from_the_exported_times(trtexec: Path, precision: str, speed: int) -> None:
    device = HostDevice(backend="tensorrt", precision=precision, batch=4, seconds=1.0)
    row = device.measure(DIGITS, DIGITS.subnet(DIGITS.smallest), (0, 3))
    assert (row["processor"], row["source"], row["n_runs"]) == ("gpu", "measured", 250)
    times = 4 * (0.5 + 0.1 * np.random.default_rng(0).random(250)) / speed
    assert row["latency_ms"] == pytest.approx(np.median(times), abs=1e-5)
    assert row["latency_p99_ms"] == pytest.approx(np.percentile(times, 99), abs=1e-5)
    assert row["warmup_drift_pct"] is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("memory", r"trtexec failed with code 1: .*\[E\] Error\[2\]: out of memory"),
        ("times", "trtexec left no readable times"),
        ("format", "trtexec says a median of .* its times have 9 ms"),
    ],
)
def test_what_fails_is_one_line(
    trtexec: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    with pytest.raises(InputError, match=message) as caught:
        HostDevice(backend="tensorrt").measure(DIGITS, DIGITS.subnet(DIGITS.smallest), (0,))
    assert "\n" not in str(caught.value)


def test_a_build_that_hangs_is_stopped(tmp_path: Path) -> None:
    program = tmp_path / "trtexec"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match="did not finish within 0 s; stopped"):
        run_trtexec([str(program)], timeout_s=0.1)


def test_without_tensorrt_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(board_trtexec, "JETPACK", str(tmp_path / "trtexec"))
    with pytest.raises(InputError, match="install TensorRT"):
        HostDevice(backend="tensorrt").measure(DIGITS, DIGITS.subnet(DIGITS.smallest), (0,))


class TestPrecisionsOfTensorRT11:
    """It has no flag for a precision: fp16 is a network of that type, int8 one line."""

    def task(self, folder: Path, precision: str) -> dict[str, Any]:
        net = extract(build_supernet(DIGITS).eval(), DIGITS.subnet(DIGITS.smallest)).fold()
        example = torch.zeros(1, 1, 8, 8)
        for name, half in (("a.onnx", False), ("half.onnx", True)):
            model = program_model(net, example, half=half)
            (folder / name).write_bytes(model.SerializeToString())
        task = {"files": ["a.onnx"], "precision": precision, "shape": [1, 8, 8], "batch": 1}
        return task | ({"typed_file": "half.onnx"} if precision == "fp16" else {})

    @pytest.mark.parametrize("release", ["8", "11"])
    @pytest.mark.parametrize(("precision", "ms"), [("fp32", 0.5), ("fp16", 0.25)])
    def test_what_is_asked_is_built(
        self,
        trtexec: Path,
        tmp_path: Path,
        release: str,
        precision: str,
        ms: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("STAND_IN_RELEASE", release)
        run = Trtexec(self.task(tmp_path, precision), str(tmp_path), 1.0)
        assert run().times_ms[0] == ms
        notes = "; ".join(run.notes)
        assert notes.count("trtexec warned: [TRT] Detected subnormal FP16 values.") == 1
        assert ("by the types of the network: trtexec has no --fp16" in notes) == (
            (release, precision) == ("11", "fp16")
        )
        assert ("trtexec has no --useSpinWait: timed without" in notes) == (release == "11")
        assert ("trtexec builds in fp32+fp16" in notes) == ((release, precision) == ("8", "fp16"))
        again = Trtexec(self.task(tmp_path, precision), str(tmp_path), 1.0)
        assert set(again.notes) <= set(run.notes)
        assert again.notes[:1] == run.notes[:1]

    def test_int8_is_refused_in_one_line(
        self, trtexec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STAND_IN_RELEASE", "11")
        with pytest.raises(BoardError, match=r"no --int8: .*TensorRT 11.*use TensorRT 10"):
            Trtexec(self.task(tmp_path, "int8"), str(tmp_path), 1.0)
        with pytest.raises(InputError, match=r"no --int8: .*TensorRT 11"):
            HostDevice(backend="tensorrt", precision="int8").measure(
                DIGITS, DIGITS.subnet(DIGITS.smallest), (0,)
            )
        device = HostDevice(backend="tensorrt", precision="fp16")
        row = device.measure(DIGITS, DIGITS.subnet(DIGITS.smallest), (0,))
        assert row["latency_ms"] < 0.4  # twice as fast as fp32: half was built
        assert "fp16 by the types of the network: trtexec has no --fp16" in row["notes"]
        assert "trtexec has no --useSpinWait: timed without" in row["notes"]

    def test_another_precision_than_the_one_asked_for_is_no_row(
        self, trtexec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(BoardError, match="asked for fp16 and builds fp32"):
            check_built(["[I] Precision: FP32"], "fp16")
        check_built(["[I] Precision: FP32+FP16"], "fp16")
        check_built([], "int8")
