"""What a running governor says of itself: a JSON file replaced whole, and Prometheus text."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any, Sequence

from .files import write_whole

BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Served:
    """What one model has answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frames = self.late_frames = self.dropped_frames = self.images = 0
        self.buckets = [0] * (len(BUCKETS_MS) + 1)
        self.latency_ms = 0.0  # of all frames together
        self.time_ratio, self.configuration = 1.0, ""  # measured / the table's; what runs

    @property
    def label(self) -> str:
        """`model="name"`, as Prometheus has it."""
        escaped = self.name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        return f'model="{escaped}"'


class Metrics:
    """Counters and gauges of the board; of every model its counters and a histogram of latency."""

    def __init__(self, models: Sequence[str]) -> None:
        self.models = [Served(name) for name in models]
        self.board: dict[str, float] = dict.fromkeys(("joules", "joules_measured"), 0.0)
        self.board.update(dict.fromkeys(("unmet", *FAULTS), 0))
        self.switches: dict[str, int] = dict.fromkeys(("begin", "within", "idle", "cap"), 0)
        self.gauges: dict[str, float] = {}
        self.said = ""  # what could not be had, in words

    @property
    def counters(self) -> dict[str, float]:
        """All that is counted, the models together."""
        sums = {key: sum(getattr(m, key) for m in self.models) for key in COUNTED}
        return {**sums, **self.board}

    def frame(self, model: int, latency_ms: float, target_ms: float, n_images: int) -> None:
        """One frame is answered."""
        served = self.models[model]
        served.frames += 1
        served.images += n_images
        served.late_frames += bool(latency_ms > target_ms)  # no number of NumPy: JSON has none
        served.latency_ms += latency_ms
        served.buckets[sum(latency_ms > edge for edge in BUCKETS_MS)] += 1

    def text(self) -> str:
        """Prometheus text exposition, version 0.0.4."""
        lines = []
        for name in COUNTED:
            lines.append(f"# TYPE nas_{name}_total counter")
            lines += [f"nas_{name}_total{{{m.label}}} {getattr(m, name)}" for m in self.models]
        for name, value in self.board.items():
            lines += [f"# TYPE nas_{name}_total counter", f"nas_{name}_total {value:.9g}"]
        lines.append("# TYPE nas_switches_total counter")
        for cause, n in self.switches.items():
            lines.append(f'nas_switches_total{{cause="{cause}"}} {n}')
        for name, value in list(self.gauges.items()):  # another thread adds some
            lines += [f"# TYPE nas_{name} gauge", f"nas_{name} {value:.9g}"]
        lines.append("# TYPE nas_time_ratio gauge")
        lines += [f"nas_time_ratio{{{m.label}}} {m.time_ratio:.9g}" for m in self.models]
        lines.append("# TYPE nas_latency_ms histogram")
        for served in self.models:
            lines += _histogram(served)
        return "\n".join(lines) + "\n"

    def write(self, path: str) -> None:
        """The state as JSON, written aside and renamed."""
        state = {
            "schema": "nas.governor/1",
            **self.counters,
            "switches": self.switches,
            **self.gauges,
            "said": self.said,
            "models": {
                m.name: {
                    **{key: getattr(m, key) for key in COUNTED},
                    "mean_latency_ms": m.latency_ms / max(m.frames, 1),
                    "time_ratio": m.time_ratio,
                    "configuration": m.configuration,
                }
                for m in self.models
            },
        }
        write_whole(path, (json.dumps(state, indent=1) + "\n").encode())


def _histogram(served: Served) -> list[str]:
    lines, so_far = [], 0
    for edge, n in zip([*map(str, BUCKETS_MS), "+Inf"], served.buckets):
        so_far += n
        lines.append(f'nas_latency_ms_bucket{{{served.label},le="{edge}"}} {so_far}')
    lines.append(f"nas_latency_ms_sum{{{served.label}}} {served.latency_ms:.9g}")
    return [*lines, f"nas_latency_ms_count{{{served.label}}} {so_far}"]


COUNTED = ("frames", "late_frames", "dropped_frames", "images")  # of every model
FAULTS = ("lost_sensor", "refused_clock", "foreign_writer", "throttled", "lost_state")


def serve(metrics: Metrics, port: int) -> HTTPServer:
    """Answer `GET /metrics` on 127.0.0.1 in the background; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = metrics.text().encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the screen for every request."""

    # a thread each: a client that connects and says nothing would keep all others, and the end
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
