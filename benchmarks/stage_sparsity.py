"""What a sparsity of all stages costs on this machine, as an exported folder runs it.

    taskset -c 1 python benchmarks/stage_sparsity.py

Subnets of `resnet-cifar-blocks4-10.20.30.100` of three sizes with their last exit, one image, one
thread, at four densities; dense ones with ONNX Runtime (backend `kernels`) and with PyTorch.
Weights are random: they cost what trained ones cost. Rows are those of `nas measure`.
"""

from __future__ import annotations

import json
from pathlib import Path

from nas.devices import HostDevice
from search_spaces import Row, get_space

RESULTS = Path(__file__).parent / "results" / "stage_sparsity.json"
SPACE = get_space("resnet-cifar-blocks4-10.20.30.100")
SIZES = {
    "largest": "d2.2.2.2-w16.56.128.256-e100.100.100.100.100.100.100.100",
    "middle": "d1.2.2.1-w12.32.72.144-e75.0.75.75.75.75.75.0",
    "smallest": "d1.1.1.1-w8.24.48.96-e50.0.50.0.50.0.50.0",
}
CASES = [("kernels", density) for density in (100, 30, 20, 10)] + [("pytorch", 100)]


def rows() -> list[Row]:
    found = []
    for size in SIZES.values():
        for backend, density in CASES:
            subnet = SPACE.parse(f"{size}-b{'.'.join([str(density)] * 4)}")
            row = HostDevice(backend=backend, seconds=0.25).measure(SPACE, subnet, [SPACE.n_exits])
            found.append(row)
            print(f"{subnet} {backend}: {row['latency_ms']:.3f} ms")
    return found


if __name__ == "__main__":
    RESULTS.write_text(json.dumps({"rows": rows()}, indent=1) + "\n")
