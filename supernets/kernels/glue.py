"""Kernels between the convolutions of a network: sums, averages, the classifier; as LLVM code."""

from __future__ import annotations

from supernets.kernels.sparse import SIGNATURE
from supernets.kernels.text import Text, vector

SPINS = 4096  # before a thread lets others run: some 50 us


def sum_text(width: int, terms: int) -> str:
    """y = x, or x and what lies `distance` bytes behind it, clamped.

    Arguments (i64): channels, the `step` from one to the next in bytes, `n` floats of each,
    distance. `width` floats at once, the rest one by one.
    """
    t = Text(SIGNATURE)
    arg = t.arguments((), ("channels", "step", "n", "distance"))
    whole = t.let(f"udiv i64 {arg['n']}, {width}")
    done = t.let(f"mul i64 {whole}, {width}")
    rest = t.let(f"sub i64 {arg['n']}, {done}")
    with t.loop(0, arg["channels"]) as channel:
        start = t.let(f"mul i64 {channel}, {arg['step']}")
        x_channel, y_channel = t.at("%x", start), t.at("%y", start)
        for size, count, first in ((width, whole, "0"), (1, rest, done)):
            low, high = (t.splat(f"%{bound}", size) for bound in ("low", "high"))
            with t.loop(0, count) as i:
                at = t.let(f"add i64 {t.let(f'mul i64 {i}, {size}')}, {first}")
                x = t.at(x_channel, at, "float")
                value = t.load(vector(size), x)
                if terms == 2:
                    other = t.load(vector(size), t.at(x, arg["distance"]))
                    value = t.let(f"fadd {vector(size)} {value}, {other}")
                value = t.clamped(value, low, high, size)
                t.store(vector(size), value, t.at(y_channel, at, "float"))
    return t.end()


def average_text() -> str:
    """Means of windows that lie side by side, `down` x `across` pixels of planes (rows, columns).

    Arguments (i64): channels, rows, columns, down, across.
    """
    t = Text(SIGNATURE)
    arg = t.arguments((), ("channels", "rows", "columns", "down", "across"))
    down, across, columns = arg["down"], arg["across"], arg["columns"]

    def times(a: str, b: str, added: str = "0") -> str:
        return t.let(f"add i64 {t.let(f'mul i64 {a}, {b}')}, {added}")

    high, wide = t.let(f"udiv i64 {arg['rows']}, {down}"), t.let(f"udiv i64 {columns}, {across}")
    plane, size = times(arg["rows"], columns), times(down, across)
    share = t.let(f"fdiv float 1.0, {t.let(f'uitofp i64 {size} to float')}")
    total = t.slot("float", "0.0")
    with t.loop(0, arg["channels"]) as channel:
        x = t.at("%x", times(channel, plane), "float")
        with t.loop(0, high) as i, t.loop(0, wide) as j:
            corner = times(times(i, down), columns, times(j, across))
            t.do(f"store float 0.0, ptr {total}")
            with t.loop(0, down) as dy:
                line = t.at(x, times(dy, columns, corner), "float")
                with t.loop(0, across) as dx:
                    value = t.load("float", t.at(line, dx, "float"))
                    value = t.let(f"fadd reassoc float {t.get(total, 'float')}, {value}")
                    t.do(f"store float {value}, ptr {total}")
            mean = t.let(f"fmul float {t.get(total, 'float')}, {share}")
            at = times(times(channel, high, i), wide, j)
            t.store("float", mean, t.at("%y", at, "float"))
    return t.end()


def linear_text(width: int) -> str:
    """y = weights x + bias, `width` rows at once; y has room for whole vectors.

    Arguments: weights (columns, rows), bias (rows); columns, rows (i64), a multiple of `width`;
    the first of the vectors of rows to compute, and the one behind the last.
    """
    t, kind = Text(SIGNATURE), vector(width)
    arg = t.arguments(("weights", "bias"), ("columns", "rows", "first", "end"))
    total = t.slot(kind, "zeroinitializer")
    with t.loop(arg["first"], arg["end"]) as part:
        row = t.let(f"mul i64 {part}, {width}")
        t.do(f"store {kind} {t.load(kind, t.at(arg['bias'], row, 'float'))}, ptr {total}")
        weights = t.at(arg["weights"], row, "float")
        with t.loop(0, arg["columns"]) as column:
            weight = t.load(kind, t.at(weights, t.let(f"mul i64 {column}, {arg['rows']}"), "float"))
            x = t.splat(t.load("float", t.at("%x", column, "float")), width)
            t.do(f"store {kind} {t.fused(weight, x, t.get(total, kind), width)}, ptr {total}")
        t.store(kind, t.get(total, kind), t.at("%y", row, "float"))
    return t.end()


def barrier_text(processor: str) -> str:
    """Wait until all threads are here: x counts them, the argument (i64) is their sum so far.

    A thread that waits long lets others run, for there may be fewer cores than threads.
    """
    pause = {"x86_64": "llvm.x86.sse2.pause()", "aarch64": "llvm.aarch64.hint(i32 1)"}[processor]
    lines = (
        f"define void {SIGNATURE} {{",
        "entry:",
        "  %total = load i64, ptr %args",
        "  %before = atomicrmw add ptr %x, i64 1 acq_rel",
        "  br label %wait",
        "wait:",
        "  %spins = phi i64 [ 0, %entry ], [ %next, %again ]",
        "  %here = load atomic i64, ptr %x acquire, align 8",
        "  %all = icmp uge i64 %here, %total",
        "  br i1 %all, label %out, label %spin",
        "spin:",
        f"  call void @{pause}",
        "  %next = add i64 %spins, 1",
        f"  %rest = urem i64 %next, {SPINS}",
        "  %long = icmp eq i64 %rest, 0",
        "  br i1 %long, label %yield, label %again",
        "yield:",
        "  %ignored = call i32 @sched_yield()",
        "  br label %again",
        "again:",
        "  br label %wait",
        "out:",
        "  ret void",
        "}",
        "declare i32 @sched_yield()",
        f"declare void @{pause.replace('i32 1', 'i32')}",
        "",
    )
    return "\n".join(lines)


def network_text() -> str:
    """The code that makes all calls of a network, `@kernel(table, calls)`.

    A row of the table has 8 bytes each of: kernel, arguments, x, y, and the two bounds (floats).
    """
    t = Text("@kernel(ptr %table, i64 %calls)")
    with t.loop(0, "%calls") as i:
        row = t.at("%table", t.let(f"mul i64 {i}, 40"))
        kernel, args, x, y = (t.load("ptr", t.at(row, 8 * k)) for k in range(4))
        low, high = (t.load("float", t.at(row, 32 + 4 * k)) for k in range(2))
        told = f"ptr {args}, ptr {x}, ptr {y}, float {low}, float {high}"
        t.do(f"call void {kernel}({told})")
    return t.end()
