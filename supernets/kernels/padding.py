"""The kernel that copies inputs into zeros around them, as LLVM code.

With stride 2 every second row and column go into planes of their own, so that what a convolution
reads for neighbouring outputs lies side by side.
"""

from __future__ import annotations

from supernets.kernels.sparse import SIGNATURE
from supernets.kernels.text import Text, vector

POINTERS = ("from_rows", "to_rows")
NUMBERS = ("top", "bottom", "first", "end", "columns", "plane", "padded_plane", "even", "odd")
"""What a kernel is told, 8 bytes each: where rows lie in a plane and in the padded one, of which
`top` to `bottom` are moved; channels `first` to `end`, the columns of a row; `even` and `odd`
columns go so many floats behind a row's place. Distances are in floats."""


def padding_text(stride: int, width: int, both: bool) -> str:
    """The code that moves `width` floats at once (with stride 2: as many for each parity).

    `both`: odd columns are read by the convolution too. Rows hold at least what is moved at once.
    """
    t, step = Text(SIGNATURE), width * stride
    arg = t.arguments(POINTERS, NUMBERS)
    parts = t.let(f"add i64 {arg['columns']}, {step - 1}")
    parts = t.let(f"udiv i64 {parts}, {step}")
    last = t.let(f"sub i64 {arg['columns']}, {step}")
    with t.loop(arg["first"], arg["end"]) as channel:
        x = t.at("%x", t.let(f"mul i64 {channel}, {arg['plane']}"), "float")
        y = t.at("%y", t.let(f"mul i64 {channel}, {arg['padded_plane']}"), "float")
        with t.loop(arg["top"], arg["bottom"]) as i:
            source, target = (
                t.at(plane, t.load("i64", t.at(arg[rows], i, "i64")), "float")
                for plane, rows in ((x, "from_rows"), (y, "to_rows"))
            )
            with t.loop(0, parts) as part:
                start = t.let(f"mul i64 {part}, {step}")
                column = t.let(f"call i64 @llvm.umin.i64(i64 {start}, i64 {last})")
                value = t.load(vector(step), t.at(source, column, "float"))
                column = t.let(f"udiv i64 {column}, {stride}")
                for odd in range(2 if both and stride == 2 else 1):
                    place = t.let(f"add i64 {column}, {arg['odd' if odd else 'even']}")
                    moved = value if stride == 1 else t.every_second(value, width, odd)
                    t.store(vector(width), moved, t.at(target, place, "float"))
    return t.end() + "declare i64 @llvm.umin.i64(i64, i64)\n"
