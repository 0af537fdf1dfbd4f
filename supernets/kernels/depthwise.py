"""The kernel of a depthwise convolution, as LLVM code.

A few rows of outputs share what they read: their rows of inputs are copied into a small padded
buffer, and each vector loaded from it adds to all outputs that it belongs to.
"""

from __future__ import annotations

from supernets.kernels.sparse import SIGNATURE
from supernets.kernels.text import Text, vector

POINTERS = ("weights", "bias")
NUMBERS = ("first", "end", "rows", "columns", "out_rows", "out_columns", "top", "bottom")
"""What a kernel is told, 8 bytes each: channels `first` to `end` (exclusive), the planes' sizes,
rows of outputs `top` to `bottom` (exclusive)."""
SLACK = 64  # floats behind a padded row that a vector may read


def depthwise_text(taps: int, stride: int, copied: int, width: int, rows: int) -> str:
    """The code for `taps` x `taps` weights, padding taps // 2, stride 1 or 2.

    It writes `width` outputs of `rows` rows at once and copies `copied` inputs at once; outputs and
    inputs have no fewer rows and columns than that.
    """
    return _Kernel(taps, stride, copied, width, rows).text()


class _Kernel:
    def __init__(self, taps: int, stride: int, copied: int, width: int, rows: int) -> None:
        self.taps, self.stride, self.copied = taps, stride, copied
        self.width, self.rows = width, rows
        self.read_rows = (rows - 1) * stride + taps
        self.t = Text(SIGNATURE)

    def text(self) -> str:
        t = self.t
        self.arg = t.arguments(POINTERS, NUMBERS)
        self.low, self.high = (t.splat(f"%{bound}", self.width) for bound in ("low", "high"))
        self.line = t.let(f"add i64 {self.arg['columns']}, {SLACK + self.taps}")
        size = t.let(f"mul i64 {self.line}, {self.read_rows + 1}")  # the last stays zero
        self.buffer = t.let(f"alloca float, i64 {size}, align 64")
        kind = vector(self.width)
        zero = "0.0" if self.width == 1 else "zeroinitializer"
        self.sums = [t.slot(kind, zero) for _ in range(self.rows)]
        with t.loop(0, size) as i:
            t.store("float", "0.0", t.at(self.buffer, i, "float"))
        plane = t.let(f"mul i64 {self.arg['rows']}, {self.arg['columns']}")
        out_plane = t.let(f"mul i64 {self.arg['out_rows']}, {self.arg['out_columns']}")
        height = t.let(f"sub i64 {self.arg['bottom']}, {self.arg['top']}")
        bands = self._parts(height, self.rows)
        with t.loop(self.arg["first"], self.arg["end"]) as channel:
            self.x = t.at("%x", t.let(f"mul i64 {channel}, {plane}"), "float")
            self.y = t.at("%y", t.let(f"mul i64 {channel}, {out_plane}"), "float")
            self._load_weights(channel)
            with t.loop(0, bands) as band:
                row = self._start(band, self.rows, height)
                row = t.let(f"add i64 {row}, {self.arg['top']}")
                self._copy(row)
                self._outputs(row)
        return t.end() + "declare i64 @llvm.umin.i64(i64, i64)\n"

    def _parts(self, size: str, step: int) -> str:
        return self.t.let(f"udiv i64 {self.t.let(f'add i64 {size}, {step - 1}')}, {step}")

    def _start(self, i: str, step: int, size: str) -> str:
        """Where part i of `size` starts; the last one ends with it and overlaps its neighbour."""
        start, last = self.t.let(f"mul i64 {i}, {step}"), self.t.let(f"sub i64 {size}, {step}")
        return self.t.let(f"call i64 @llvm.umin.i64(i64 {start}, i64 {last})")

    def _load_weights(self, channel: str) -> None:
        t, n = self.t, self.taps * self.taps
        at = t.at(self.arg["weights"], t.let(f"mul i64 {channel}, {n}"), "float")
        self.weights = [
            t.splat(t.load("float", t.at(at, i, "float")), self.width) for i in range(n)
        ]
        bias = t.load("float", t.at(self.arg["bias"], channel, "float"))
        self.bias = t.splat(bias, self.width)

    def _copy(self, row: str) -> None:
        """The rows that outputs from `row` on read, zeros for those outside the plane."""
        t, kind = self.t, vector(self.copied)
        first = t.let(f"sub i64 {t.let(f'mul i64 {row}, {self.stride}')}, {self.taps // 2}")
        zeros = t.at(self.buffer, t.let(f"mul i64 {self.line}, {self.read_rows}"), "float")
        for i in range(self.read_rows):
            source = t.let(f"add i64 {first}, {i}")
            target = t.at(self.buffer, t.let(f"mul i64 {self.line}, {i}"), "float")
            target = t.at(target, self.taps // 2, "float")
            inside = t.let(f"icmp ult i64 {source}, {self.arg['rows']}")
            x = t.at(self.x, t.let(f"mul i64 {source}, {self.arg['columns']}"), "float")
            x = t.let(f"select i1 {inside}, ptr {x}, ptr {zeros}")
            with t.loop(0, self._parts(self.arg["columns"], self.copied)) as part:
                column = self._start(part, self.copied, self.arg["columns"])
                value = t.load(kind, t.at(x, column, "float"))
                t.store(kind, value, t.at(target, column, "float"))

    def _outputs(self, row: str) -> None:
        t, kind = self.t, vector(self.width)
        with t.loop(0, self._parts(self.arg["out_columns"], self.width)) as part:
            column = self._start(part, self.width, self.arg["out_columns"])
            for slot in self.sums:
                t.do(f"store {kind} {self.bias}, ptr {slot}")
            read = t.at(self.buffer, t.let(f"mul i64 {column}, {self.stride}"), "float")
            for i in range(self.read_rows):
                line = t.at(read, t.let(f"mul i64 {self.line}, {i}"), "float")
                for dx, value in enumerate(self._line(line)):
                    self._add(i, dx, value)
            for r, slot in enumerate(self.sums):
                at = t.let(f"mul i64 {t.let(f'add i64 {row}, {r}')}, {self.arg['out_columns']}")
                to = t.at(t.at(self.y, at, "float"), column, "float")
                total = t.clamped(t.get(slot, kind), self.low, self.high, self.width)
                t.store(kind, total, to)

    def _add(self, i: int, dx: int, value: str) -> None:
        """Row i of the buffer, shifted by dx, to all outputs that it belongs to."""
        kind = vector(self.width)
        for r, slot in enumerate(self.sums):
            dy = i - r * self.stride
            if 0 <= dy < self.taps:
                weight = self.weights[dy * self.taps + dx]
                total = self.t.fused(value, weight, self.t.get(slot, kind), self.width)
                self.t.do(f"store {kind} {total}, ptr {slot}")

    def _line(self, line: str) -> list[str]:
        """The vectors of a line for every shift."""
        t, kind = self.t, vector(self.width)
        if self.stride == 1 or self.width == 1:
            return [t.load(kind, t.at(line, dx, "float")) for dx in range(self.taps)]
        found: list[str] = []
        for dx in range(0, self.taps, 2):  # every second float: those of two shifts lie in a pair
            both = vector(2 * self.width)
            pair = t.load(both, t.at(line, dx, "float"))
            for odd in range(min(2, self.taps - dx)):
                found.append(t.every_second(pair, self.width, odd))
        return found
