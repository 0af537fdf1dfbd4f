"""The analytic device model beside published figures.

    python benchmarks/device_model.py

Batch-1 anchors: ResNet-18 and ResNet-50 at 224 px, TensorRT fp16 (github NVIDIA-AI-IOT/torch2trt,
README) on the boards whose efficiency was set from them; ResNet-50 INT8 on Xavier NX (MLPerf
inference v1.0, single stream) and VGG-19 fp16 on TX2 (github thynics/jetson_dvfs), which were not.

Sweeps over the GPU clock: an Inception classifier on Xavier NX, AGX Xavier and Nano (github
iloudaros/LoudVA, concurrency 1), whose size is not published: ResNet-50 stands in, one scale per
curve is fitted, and the shape is compared. VGG-19 on TX2 needs no scale. LoudVA's mean power at
concurrency 1 holds the gaps between requests (Xavier NX is busy 0.80 to 0.96 of the time), so the
model, which runs back to back, must lie above it; on Xavier NX it is also compared with
concurrency 16 to 32. The power constants were fitted to these boards' curves: their power is no
held-out check.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nas.devices import AnalyticDevice, get_device
from search_spaces import Operators
from search_spaces.operators import Slot

RESULTS = Path(__file__).parent / "results" / "device_model.json"
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
VGG19 = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions before a pool
ANCHORS = [  # device, mode, network, precision, published ms
    ("agx-xavier", "MAXN", "resnet18", "fp16", 1.64),
    ("agx-xavier", "MAXN", "resnet50", "fp16", 3.37),
    ("nano", "MAXN", "resnet18", "fp16", 11.4),
    ("nano", "MAXN", "resnet50", "fp16", 29.8),
    ("xavier-nx", "MODE_20W_6CORE", "resnet50", "int8", 2.574),
    ("tx2", "MAXN", "vgg19", "fp16", 1e3 / 14.87),
]
SWEEPS = {  # (device, mode, network): rows of GPU MHz, ms, W
    ("xavier-nx", "MODE_20W_6CORE", "resnet50"): [
        (114.75, 296.1, 3.38), (204, 172.4, 5.49), (306, 114.1, 6.23), (408, 87.1, 6.77),
        (510, 71.1, 7.28), (599.25, 61.4, 7.79), (701.25, 54.6, 8.01), (752.25, 51.3, 8.23),
        (803.25, 47.9, 8.86), (854.25, 45.5, 9.29), (905.25, 43.6, 9.25), (956.25, 41.6, 10.06),
        (1007.25, 40.4, 10.72), (1058.25, 38.9, 11.03), (1109.25, 37.8, 11.81),
    ],
    ("agx-xavier", "MAXN", "resnet50"): [
        (114.75, 267.2, 5.64), (216.75, 143.5, 6.80), (318.75, 99.0, 7.85), (420.75, 76.2, 8.69),
        (522.75, 61.6, 10.17), (624.75, 51.9, 11.90), (675.75, 48.2, 12.49), (828.75, 40.7, 13.46),
        (905.25, 37.9, 14.36), (1032.75, 33.8, 16.03), (1198.5, 30.2, 18.51),
        (1236.75, 29.4, 18.98), (1338.75, 27.7, 20.86), (1377, 27.2, 21.97),
    ],
    ("nano", "MAXN", "resnet50"): [
        (153.6, 892, 2.27), (307.2, 407, 3.30), (460.8, 287, 3.78), (614.4, 227, 4.45),
        (691.2, 209, 4.73), (768, 191, 5.27), (921.6, 170, 6.22),
    ],
    ("tx2", "MAXN", "vgg19"): [
        (114.75, 1e3 / 1.73, 5.25), (216.75, 1e3 / 3.27, 6.06), (318.75, 1e3 / 4.80, 6.88),
        (420.75, 1e3 / 6.32, 7.66), (522.75, 1e3 / 7.83, 8.39), (624.75, 1e3 / 9.19, 9.17),
        (726.75, 1e3 / 10.44, 9.74), (854.25, 1e3 / 11.80, 10.85), (930.75, 1e3 / 12.56, 11.42),
        (1032.75, 1e3 / 13.45, 12.56), (1122, 1e3 / 13.99, 13.73), (1236.75, 1e3 / 14.59, 15.12),
        (1300.5, 1e3 / 14.87, 16.10),
    ],
}  # fmt: skip
BUSY_NX_W = [4.93, 5.71, 6.55, 7.52, 8.16, 8.70, 9.79, 10.14, 10.68, 11.15, 12.13, 12.39, 13.28]
BUSY_NX_W += [13.32, 14.70]  # LoudVA, concurrency 16 to 32, same clocks


def vgg19() -> Operators:
    """VGG-19 at 224 px (Simonyan and Zisserman, 2015) as operators."""
    slots, c_in, side = [], 3, 224
    for width, n in VGG19:
        for _ in range(n):
            slots.append(Slot("conv", 0, c_in, width, 3, side, side))
            c_in = width
        slots.append(Slot("pool", 0, c_in, c_in, 2, side, side // 2))
        side //= 2
    for a, b in ((c_in * side**2, 4096), (4096, 4096), (4096, 1000)):
        slots.append(Slot("linear", 0, a, b, 1, 1, 1))
    return Operators.stack(slots)


def resnet(name: str) -> Operators:
    """ResNet-18 or ResNet-50 at 224 px (He et al., 2016) as operators."""
    slots = [Slot("conv", 0, 3, 64, 7, 224, 112), Slot("pool", 0, 64, 64, 3, 112, 56)]
    c_in = 64
    for stage, blocks in enumerate(BLOCKS[name]):
        width, side = 64 << stage, 56 >> stage
        out = width * (4 if name == "resnet50" else 1)
        for b in range(blocks):
            before = side * (2 if b == 0 and stage else 1)
            if c_in != out:
                slots.append(Slot("conv", 0, c_in, out, 1, before, side))
            if name == "resnet50":
                slots.append(Slot("conv", 0, c_in, width, 1, before, before))
                slots.append(Slot("conv", 0, width, width, 3, before, side))
                slots.append(Slot("conv", 0, width, out, 1, side, side, residual=True))
            else:
                slots.append(Slot("conv", 0, c_in, width, 3, before, side))
                slots.append(Slot("conv", 0, width, out, 3, side, side, residual=True))
            c_in = out
    slots += [Slot("pool", 0, c_in, c_in, 7, 7, 1), Slot("linear", 0, c_in, 1000, 1, 1, 1)]
    return Operators.stack(slots)


def network(name: str) -> Operators:
    return vgg19() if name == "vgg19" else resnet(name)


def simulated(device: str, mode: str, name: str, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """GPU MHz `(L,)` and the model's (ms, W) `(2, L)`."""
    model = get_device(device, precision=precision, power_mode=mode)
    assert isinstance(model, AnalyticDevice)
    latency, energy = (cost[0] for cost in model.cost(network(name)))
    return np.array([x.gpu_mhz for x in model.levels]), np.stack([latency, energy / latency])


def anchors() -> list[dict]:
    rows = []
    for device, mode, name, precision, published in ANCHORS:
        ms = float(simulated(device, mode, name, precision)[1][0, -1])
        what = f"{name} {precision} batch 1, ms"
        rows.append(_row(device, mode, what, published, ms) | {"ratio": ms / published})
    return rows


def sweep(device: str, mode: str, name: str) -> list[dict]:
    """Shape of latency, power and energy over the published clocks."""
    mhz, ms, watts = np.array(SWEEPS[device, mode, name]).T
    clocks, model = simulated(device, mode, name, "fp16")
    model_ms, model_w = model[:, np.searchsorted(clocks, mhz)]
    scale = 1.0 if name == "vgg19" else np.exp(np.median(np.log(ms / model_ms)))
    energy, model_energy = ms * watts, model_ms * model_w
    best, chosen = energy.argmin(), model_energy.argmin()
    fitted = "no scale" if name == "vgg19" else "one scale fitted"
    rows: list[tuple[str, float | None, float]] = [
        (f"latency over clocks, {fitted}, MAPE %", None, _mape(scale * model_ms, ms)),
        ("power, median signed error %", None, 100 * float(np.median(model_w / watts - 1))),
        ("clock of least energy, MHz", mhz[best], mhz[chosen]),
        ("published energy lost at the model's clock, %", None, _above(energy[chosen], energy)),
        ("top clock above least energy, %", _above(energy[-1], energy),
         _above(model_energy[-1], model_energy)),
    ]  # fmt: skip
    if device == "xavier-nx":
        rows.append(("power at concurrency 16 to 32, MAPE %", None, _mape(model_w, BUSY_NX_W)))
    return [_row(device, mode, *row) for row in rows]


def _row(device: str, mode: str, what: str, published: float | None, value: float) -> dict:
    row = {"device": f"{device} {mode}", "what": what, "simulated": value}
    return row if published is None else row | {"published": published}


def _mape(model: np.ndarray, published: list[float] | np.ndarray) -> float:
    return 100 * float(np.mean(np.abs(model / np.asarray(published) - 1)))


def _above(value: float, values: np.ndarray) -> float:
    return 100 * float(value / values.min() - 1)


def _rounded(value: object) -> object:
    return round(float(value), 3) if isinstance(value, float) else value


def main() -> None:
    rows = anchors() + [row for which in SWEEPS for row in sweep(*which)]
    rows = [{k: _rounded(v) for k, v in row.items()} for row in rows]
    for row in rows:
        values = {k: row[k] for k in ("published", "simulated", "ratio") if k in row}
        print(f"{row['device']:28} {row['what']:52} {values}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"command": "python benchmarks/device_model.py", "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
