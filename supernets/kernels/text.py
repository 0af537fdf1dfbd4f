"""LLVM code as text: numbered values, and variables on the stack that LLVM puts into registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple


class Code(NamedTuple):
    """A kernel by the function that writes it and what that function is told: cheap to compare."""

    write: Callable[..., str]
    arguments: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        return self.write(*self.arguments)

    def __str__(self) -> str:
        return f"{self.write.__module__}.{self.write.__name__}{self.arguments}"


def vector(width: int) -> str:
    """The type of `width` floats; one is no vector."""
    return "float" if width == 1 else f"<{width} x float>"


class Text:
    """A function that is written line by line; methods return the name of what they compute."""

    def __init__(self, signature: str) -> None:
        self.lines = [f"define void {signature} {{", "entry:"]
        self._n = 0

    def arguments(self, pointers: Sequence[str], numbers: Sequence[str]) -> dict[str, str]:
        """By name the values in the array `%args`: `pointers`, then `numbers` (i64)."""
        kinds = ["ptr"] * len(pointers) + ["i64"] * len(numbers)
        return {
            name: self.load(kind, self.at("%args", i, "i64"))
            for i, (name, kind) in enumerate(zip([*pointers, *numbers], kinds, strict=True))
        }

    def let(self, operation: str) -> str:
        """A new value."""
        self._n += 1
        self.do(f"%v{self._n} = {operation}")
        return f"%v{self._n}"

    def do(self, operation: str) -> None:
        self.lines.append("  " + operation)

    def slot(self, kind: str, value: str) -> str:
        """A new variable. LLVM wants it at the top, so make them before any loop."""
        slot = self.let(f"alloca {kind}")
        self.do(f"store {kind} {value}, ptr {slot}")
        return slot

    def at(self, pointer: str, index: str | int, kind: str = "i8") -> str:
        """The address of an element; of a byte by default."""
        return self.let(f"getelementptr {kind}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str) -> str:
        return self.let(f"load {kind}, ptr {pointer}, align 4")

    def store(self, kind: str, value: str, pointer: str) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}, align 4")

    def get(self, slot: str, kind: str = "i64") -> str:
        return self.let(f"load {kind}, ptr {slot}")

    def splat(self, value: str, width: int) -> str:
        """A float in all places of a vector."""
        if width == 1:
            return value
        kind = vector(width)
        first = self.let(f"insertelement {kind} poison, float {value}, i64 0")
        zeros = f"<{width} x i32> zeroinitializer"
        return self.let(f"shufflevector {kind} {first}, {kind} poison, {zeros}")

    def every_second(self, value: str, width: int, first: int) -> str:
        """Places `first`, `first` + 2, ... of a vector of twice `width` floats."""
        both = vector(2 * width)
        if width == 1:
            return self.let(f"extractelement {both} {value}, i64 {first}")
        which = ", ".join(f"i32 {2 * i + first}" for i in range(width))
        mask = f"<{width} x i32> <{which}>"
        return self.let(f"shufflevector {both} {value}, {both} poison, {mask}")

    def fused(self, a: str, b: str, total: str, width: int) -> str:
        """a x b + total, rounded once where the processor can."""
        product = self.let(f"fmul contract {vector(width)} {a}, {b}")
        return self.let(f"fadd contract {vector(width)} {product}, {total}")

    def clamped(self, value: str, low: str, high: str, width: int) -> str:
        """`value` within [low, high]; a NaN stays one."""
        kind, flags = vector(width), "i1" if width == 1 else f"<{width} x i1>"
        for relation, bound in (("olt", low), ("ogt", high)):
            outside = self.let(f"fcmp {relation} {kind} {value}, {bound}")
            value = self.let(f"select {flags} {outside}, {kind} {bound}, {kind} {value}")
        return value

    @contextmanager
    def loop(self, first: str | int, end: str) -> Iterator[str]:
        """From `first` up to `end` (exclusive), maybe never."""
        self._n += 1
        n, before = self._n, f"before{self._n}"
        self.do(f"br label %{before}")
        self.lines.append(f"{before}:")
        self.do(f"%some{n} = icmp ult i64 {first}, {end}")
        self.do(f"br i1 %some{n}, label %body{n}, label %behind{n}")
        self.lines.append(f"body{n}:")
        self.do(f"%i{n} = phi i64 [ {first}, %{before} ], [ %next{n}, %last{n} ]")
        yield f"%i{n}"
        self.do(f"br label %last{n}")
        self.lines.append(f"last{n}:")
        self.do(f"%next{n} = add i64 %i{n}, 1")
        self.do(f"%more{n} = icmp ult i64 %next{n}, {end}")
        self.do(f"br i1 %more{n}, label %body{n}, label %behind{n}")
        self.lines.append(f"behind{n}:")

    @contextmanager
    def where(self, condition: str) -> Iterator[None]:
        """Only where `condition` (i1) is true."""
        self._n += 1
        n = self._n
        self.do(f"br i1 {condition}, label %then{n}, label %end{n}")
        self.lines.append(f"then{n}:")
        yield
        self.do(f"br label %end{n}")
        self.lines.append(f"end{n}:")

    def end(self) -> str:
        self.do("ret void")
        return "\n".join([*self.lines, "}", ""])
