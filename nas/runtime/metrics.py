"""What a running governor says of itself: a JSON file replaced whole, and Prometheus text."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

BUCKETS_MS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


class Metrics:
    """Counters, gauges and a histogram of latency."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = dict.fromkeys(
            ("frames", "late_frames", "images", "joules", "unmet", *FAULTS), 0.0
        )
        self.switches: dict[str, int] = dict.fromkeys(("begin", "within", "idle", "cap"), 0)
        self.gauges: dict[str, float] = {}
        self.buckets = [0] * (len(BUCKETS_MS) + 1)
        self.latency_ms = 0.0
        self.said = ""  # what could not be had, in words

    def frame(self, latency_ms: float, target_ms: float, n_images: int) -> None:
        """One frame is answered."""
        self.counters["frames"] += 1
        self.counters["images"] += n_images
        self.counters["late_frames"] += latency_ms > target_ms
        self.latency_ms += latency_ms
        self.buckets[sum(latency_ms > edge for edge in BUCKETS_MS)] += 1

    def text(self) -> str:
        """Prometheus text exposition, version 0.0.4."""
        lines = []
        for name, value in self.counters.items():
            lines += [f"# TYPE nas_{name}_total counter", f"nas_{name}_total {value:.9g}"]
        lines.append("# TYPE nas_switches_total counter")
        for cause, n in self.switches.items():
            lines.append(f'nas_switches_total{{cause="{cause}"}} {n}')
        for name, value in self.gauges.items():
            lines += [f"# TYPE nas_{name} gauge", f"nas_{name} {value:.9g}"]
        lines.append("# TYPE nas_latency_ms histogram")
        so_far = 0
        for edge, n in zip([*map(str, BUCKETS_MS), "+Inf"], self.buckets):
            so_far += n
            lines.append(f'nas_latency_ms_bucket{{le="{edge}"}} {so_far}')
        lines += [f"nas_latency_ms_sum {self.latency_ms:.9g}", f"nas_latency_ms_count {so_far}"]
        return "\n".join(lines) + "\n"

    def write(self, path: str) -> None:
        """The state as JSON, written aside and renamed."""
        state = {
            "schema": "nas.governor/1",
            **self.counters,
            "switches": self.switches,
            **self.gauges,
            "said": self.said,
        }
        aside = path + ".tmp"
        with open(aside, "w", encoding="utf-8") as file:
            file.write(json.dumps(state, indent=1) + "\n")
        os.replace(aside, path)


FAULTS = ("lost_sensor", "refused_clock", "foreign_writer", "throttled")


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

    server = HTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
