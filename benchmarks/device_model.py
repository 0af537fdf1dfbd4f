"""The analytic device model beside published figures.

    python benchmarks/device_model.py

Batch-1 anchors: ResNet-18 and ResNet-50 at 224 px with TensorRT fp16 (github
NVIDIA-AI-IOT/torch2trt, README) on the boards whose efficiency was set from them, and ResNet-50
INT8 on Xavier NX (MLPerf inference v1.0, single stream), which was not. Sweep: an Inception
classifier on Xavier NX over 15 GPU clocks (github iloudaros/LoudVA, concurrency 1): its size is not
published, so one scale per curve is fitted and the shape over the clocks is compared. Figures are
`published` or `simulated` as marked.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nas.devices import AnalyticDevice, get_device
from search_spaces import Operators, get_space
from search_spaces.operators import Slot

RESULTS = Path(__file__).parent / "results" / "device_model.json"
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
ANCHORS = [  # device, mode, network, precision, published ms
    ("agx-xavier", "MAXN", "resnet18", "fp16", 1.64),
    ("agx-xavier", "MAXN", "resnet50", "fp16", 3.37),
    ("nano", "MAXN", "resnet18", "fp16", 11.4),
    ("nano", "MAXN", "resnet50", "fp16", 29.8),
    ("xavier-nx", "MODE_20W_6CORE", "resnet50", "int8", 2.574),
]
LOUDVA_NX_MS = [
    *(296.1, 172.4, 114.1, 87.1, 71.1, 61.4, 54.6, 51.3, 47.9, 45.5, 43.6, 41.6, 40.4, 38.9, 37.8),
]
LOUDVA_NX_W = [
    *(3.38, 5.49, 6.23, 6.77, 7.28, 7.79, 8.01, 8.23, 8.86, 9.29, 9.25, 10.06, 10.72, 11.03, 11.81),
]


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


def anchors() -> list[dict]:
    rows = []
    for name, mode, network, precision, published in ANCHORS:
        device = get_device(name, precision=precision, power_mode=mode)
        assert isinstance(device, AnalyticDevice)
        simulated = float(device.cost(resnet(network))[0][0, -1])
        rows.append(
            {
                "what": f"{network} {precision} batch 1, ms",
                "device": f"{name} {mode}",
                "published": published,
                "simulated": round(simulated, 3),
                "ratio": round(simulated / published, 2),
            }
        )
    return rows


def sweep() -> list[dict]:
    """Shape over the clocks of the largest CIFAR subnet against the published sweep's shape."""
    device = get_device("xavier-nx")
    assert isinstance(device, AnalyticDevice)
    space = get_space("resnet-cifar")
    heads = np.eye(space.n_exits + 1, dtype=bool)[[-1]]
    latency, energy = (x[0] for x in device.cost(space.operators(space.largest, heads)))
    published_ms, published_w = np.array(LOUDVA_NX_MS), np.array(LOUDVA_NX_W)
    scaled = latency * np.exp(np.mean(np.log(published_ms / latency)))
    off_ms = 100 * np.abs(scaled / published_ms - 1)
    off_w = 100 * np.abs(energy / latency / published_w - 1)
    published_mj = published_ms * published_w
    clocks = [level.gpu_mhz for level in device.levels]
    return [
        {"what": "latency over clocks, one scale fitted, MAPE %", "simulated": off_ms.mean()},
        {"what": "power, median error %", "simulated": float(np.median(off_w))},
        {
            "what": "clock of least energy, MHz",
            "published": clocks[published_mj.argmin()],
            "simulated": clocks[energy.argmin()],
        },
        {
            "what": "published energy at the model's clock above its least, %",
            "simulated": 100 * (published_mj[energy.argmin()] / published_mj.min() - 1),
        },
        {
            "what": "energy at the top clock above the least, %",
            "published": 100 * (published_mj[-1] / published_mj.min() - 1),
            "simulated": 100 * (energy[-1] / energy.min() - 1),
        },
    ]


def _rounded(value: object) -> object:
    return round(float(value), 3) if isinstance(value, float) else value


def main() -> None:
    rows = anchors() + [row | {"device": "xavier-nx sweep"} for row in sweep()]
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
