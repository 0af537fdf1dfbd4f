"""The kernel of a block-sparse convolution, as LLVM code.

Rows (outputs) are walked upwards with the sums of the next g rows in registers; row r has those of
place r mod g. A block that starts at row r adds to all g places, whatever r is, because its values
were rotated by r mod g when they were packed. Behind the blocks that start at r, row r is final
(arXiv:2407.19644).
"""

from __future__ import annotations

from collections.abc import Sequence

from supernets.kernels.text import Text, vector
from supernets.kernels.tiles import Piece

POINTERS = ("starts", "columns", "values", "offsets", "bias")
NUMBERS = ("row", "first", "count", "end", "row_step", "tiles", "read_step", "write_step")
"""What a kernel is told, 8 bytes each: `row`, a multiple of g, is where the walk begins and `end`
where it ends; the `count` rows from `first` are stored; steps are in bytes."""
ROTATING, ALIGNED, IN_MEMORY = "rotating", "aligned", "in memory"
SIGNATURE = "@kernel(ptr noalias %args, ptr noalias %x, ptr noalias %y, float %low, float %high)"


def most_pieces(g: int, registers: int) -> int:
    """Pieces of a tile whose g sums each, inputs and one weight fit into `registers`."""
    return max(1, (registers - 1) // (g + 1))


def sparse_text(g: int, pieces: tuple[Piece, ...], walk: str = ROTATING) -> str:
    """The code for blocks of `g` rows on tiles of `pieces`.

    `walk`s for comparison: `aligned` knows that blocks start at multiples of g, `in memory` keeps
    no sums in registers: every block reads and writes its g rows of outputs.
    """
    return _Kernel(g, pieces, walk).text()


class _Kernel:
    def __init__(self, g: int, pieces: Sequence[Piece], walk: str) -> None:
        self.g, self.pieces, self.walk = g, pieces, walk
        self.widths = sorted({p.width for p in pieces})
        self.t = Text(SIGNATURE)

    def text(self) -> str:
        t = self.t
        self.arg = t.arguments(POINTERS, NUMBERS)
        self.low = {w: t.splat("%low", w) for w in self.widths}
        self.high = {w: t.splat("%high", w) for w in self.widths}
        self.sums = [
            [
                t.slot(vector(p.width), "zeroinitializer" if p.width > 1 else "0.0")
                for p in self.pieces
            ]
            for _ in range(self.g)
        ]
        span = t.let(f"sub i64 {self.arg['end']}, {self.arg['row']}")
        groups = t.let(f"udiv i64 {t.let(f'add i64 {span}, {self.g - 1}')}, {self.g}")
        with t.loop(0, self.arg["tiles"]) as tile:
            self.x = t.at("%x", t.let(f"mul i64 {tile}, {self.arg['read_step']}"))
            self.y = t.at("%y", t.let(f"mul i64 {tile}, {self.arg['write_step']}"))
            if self.walk == IN_MEMORY:
                self._store_biases()
            for place in range(self.g):
                self._set_bias(place, t.let(f"add i64 {self.arg['row']}, {place}"))
            with t.loop(0, groups) as i:
                row = t.let(f"add i64 {t.let(f'mul i64 {i}, {self.g}')}, {self.arg['row']}")
                self._group(row)
        return t.end()

    def _group(self, first: str) -> None:
        """g rows: the blocks that start at each, then its outputs."""
        for place in range(self.g):
            row = self.t.let(f"add i64 {first}, {place}")
            if self.walk != ALIGNED or place == 0:
                self._blocks(row, place)
            stored = self.t.let(f"sub i64 {row}, {self.arg['first']}")
            with self.t.where(self.t.let(f"icmp ult i64 {stored}, {self.arg['count']}")):
                self._store(row, place)
            self._set_bias(place, self.t.let(f"add i64 {row}, {self.g}"))

    def _blocks(self, row: str, place: int) -> None:
        t = self.t
        start = t.at(self.arg["starts"], row, "i32")
        first, end = (t.load("i32", p) for p in (start, t.at(start, 1, "i32")))
        with t.loop(*(t.let(f"zext i32 {n} to i64") for n in (first, end))) as block:
            column = t.let(f"load i16, ptr {t.at(self.arg['columns'], block, 'i16')}")
            column = t.let(f"zext i16 {column} to i64")
            offset = t.load("i32", t.at(self.arg["offsets"], column, "i32"))
            x = t.at(self.x, t.let(f"zext i32 {offset} to i64"))
            read = [t.load(vector(p.width), t.at(x, p.read, "float")) for p in self.pieces]
            values = t.at(self.arg["values"], t.let(f"mul i64 {block}, {self.g}"), "float")
            for other in range(self.g):
                weight = t.load("float", t.at(values, other, "float"))
                spread = {w: t.splat(weight, w) for w in self.widths}
                if self.walk == IN_MEMORY:
                    self._add_in_memory(row, place, other, read, spread)
                    continue
                for p, x_piece, slot in zip(self.pieces, read, self.sums[other], strict=True):
                    kind = vector(p.width)
                    total = t.fused(x_piece, spread[p.width], t.get(slot, kind), p.width)
                    t.do(f"store {kind} {total}, ptr {slot}")

    def _add_in_memory(
        self, row: str, place: int, other: int, read: list[str], spread: dict[int, str]
    ) -> None:
        t = self.t
        y = self._output(t.let(f"add i64 {row}, {(other - place) % self.g}"))
        for p, x_piece in zip(self.pieces, read, strict=True):
            at = t.at(y, p.write, "float")
            old = t.load(vector(p.width), at)
            t.store(vector(p.width), t.fused(x_piece, spread[p.width], old, p.width), at)

    def _store(self, row: str, place: int) -> None:
        t, y = self.t, self._output(row)
        for p, slot in zip(self.pieces, self.sums[place], strict=True):
            kind, at = vector(p.width), t.at(y, p.write, "float")
            total = t.load(kind, at) if self.walk == IN_MEMORY else t.get(slot, kind)
            total = t.clamped(total, self.low[p.width], self.high[p.width], p.width)
            t.store(kind, total, at)

    def _store_biases(self) -> None:
        t = self.t
        with t.loop(self.arg["row"], self.arg["end"]) as row:
            bias = t.load("float", t.at(self.arg["bias"], row, "float"))
            y = self._output(row)
            for p in self.pieces:
                at = t.at(y, p.write, "float")
                t.store(vector(p.width), t.splat(bias, p.width), at)

    def _set_bias(self, place: int, row: str) -> None:
        bias = self.t.load("float", self.t.at(self.arg["bias"], row, "float"))
        for p, slot in zip(self.pieces, self.sums[place], strict=True):
            spread = self.t.splat(bias, p.width)
            self.t.do(f"store {vector(p.width)} {spread}, ptr {slot}")

    def _output(self, row: str) -> str:
        return self.t.at(self.y, self.t.let(f"mul i64 {row}, {self.arg['row_step']}"))
