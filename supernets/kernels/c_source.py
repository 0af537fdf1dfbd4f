"""The kernel as one C file for a board, with a check that can be compiled in.

The same walk as `sparse_text` writes, in vectors of GCC and Clang, which become NEON, SSE or AVX.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from supernets.kernels.packed import PackedWeights, pack
from supernets.kernels.sparse import most_pieces

HEAD = """/* Convolution with unaligned blocks of {g} x 1 weights (arXiv:2407.19644).

   cc -O3 -c kernel.c                       the function
   cc -O3 -DCHECK kernel.c -o check -lm     a program that compares it with known outputs

   y[row][pixel] = clamp(bias[row] + sum of weight x input). `starts`, `columns`, `values` and
   `bias` are those of packed.safetensors; input of column c for pixel p is x[offsets[c] + p],
   so that for a 1x1 convolution offsets[c] = c * pixels. Rows of y are `row_step` floats apart. */
#include <stdint.h>

typedef float vec1;
typedef float vec4 __attribute__((vector_size(16), aligned(4)));

struct packed {{
  int64_t rows;            /* outputs */
  const uint32_t *starts;  /* rows padded to {g}, + 1 */
  const uint16_t *columns; /* a block's input */
  const float *values;     /* a block's {g} weights, weight of row r at r % {g} */
  const float *bias;       /* rows padded to {g}, + {g} */
}};
"""


def c_source(g: int) -> str:
    """The file for blocks of `g` rows: tiles of several vectors, then of one, then of a pixel."""
    most = most_pieces(g, 32)
    tiles = [(most, 4), (1, 4), (1, 1)] if most > 1 else [(1, 4), (1, 1)]
    calls = "\n".join(
        f"  for (; p + {n * width} <= pixels; p += {n * width})\n"
        f"    tile_{n}x{width}(w, offsets, x + p, y + p, row_step, low, high);"
        for n, width in tiles
    )
    return "\n".join(
        [
            HEAD.format(g=g),
            *(_tile(g, n, width) for n, width in tiles),
            "void packed_conv(const struct packed *w, const int32_t *offsets, const float *x,",
            "                 float *y, int64_t pixels, int64_t row_step, float low, float high) {",
            "  int64_t p = 0;",
            calls,
            "}",
            "",
            _check(g),
        ]
    )


def _tile(g: int, n: int, width: int) -> str:
    """One tile of n vectors: g x n sums that the compiler keeps in registers."""
    kind, places = f"vec{width}", [(k, t) for k in range(g) for t in range(n)]
    lines = [
        f"static void tile_{n}x{width}(const struct packed *w, const int32_t *offsets,",
        "                     const float *x, float *y, int64_t row_step, float low, float high) {",
        *(f"  {kind} s{k}_{t} = w->bias[{k}] + ({kind}){{0}};" for k, t in places),
        f"  for (int64_t group = 0; group < w->rows; group += {g}) {{",
    ]
    for place in range(g):
        lines += [
            f"    for (uint32_t b = w->starts[group + {place}];",
            f"         b < w->starts[group + {place} + 1]; b++) {{",
            "      const float *in = x + offsets[w->columns[b]];",
            f"      const float *v = w->values + (int64_t)b * {g};",
            *(f"      {kind} x{t} = *(const {kind} *)(in + {t * width});" for t in range(n)),
            *(f"      s{k}_{t} += x{t} * v[{k}];" for k, t in places),
            "    }",
            f"    if (group + {place} < w->rows) {{",
            f"      float *out = y + (group + {place}) * row_step;",
            *_stored(place, n, width),
            "    }",
            *(
                f"    s{place}_{t} = w->bias[group + {place} + {g}] + ({kind}){{0}};"
                for t in range(n)
            ),
        ]
    return "\n".join([*lines, "  }", "}", ""])


def _stored(place: int, n: int, width: int) -> list[str]:
    lines = []
    for t in range(n):
        for i in range(width):
            value, at = f"s{place}_{t}" + (f"[{i}]" if width > 1 else ""), t * width + i
            clamped = f"{value} < low ? low : {value} > high ? high : {value}"
            lines.append(f"      out[{at}] = {clamped};")
    return lines


def _check(g: int) -> str:
    """A small layer of numbers that floats hold exactly, and what it answers."""
    rows, columns, pixels = 2 * g + 1, 5, 37
    rng = np.random.default_rng(g)
    starts = np.zeros((rows - g + 1, columns), dtype=bool)
    for c in range(columns):
        starts[c % 3 :: g + 1, c] = True
    packed = pack("check", rng.integers(-4, 5, (rows, columns)) / 4, starts, g, np.arange(rows) / 2)
    x = rng.integers(-8, 9, (columns, pixels)) / 8
    weight = packed.dense().reshape(rows, columns).astype(np.float64)
    y = np.clip(weight @ x + packed.bias[:rows, None], 0, 6)
    return "\n".join(
        [
            "#ifdef CHECK",
            "#include <math.h>",
            "#include <stdio.h>",
            *_arrays(packed),
            _array("int32_t", "offsets", np.arange(columns) * pixels),
            _array("float", "inputs", x.ravel()),
            _array("float", "wanted", y.ravel()),
            "int main(void) {",
            f"  static float found[{rows * pixels}];",
            f"  struct packed w = {{{rows}, starts, columns, values, bias}};",
            f"  packed_conv(&w, offsets, inputs, found, {pixels}, {pixels}, 0, 6);",
            f"  for (int i = 0; i < {rows * pixels}; i++)",
            "    if (!(fabsf(found[i] - wanted[i]) <= 1e-5f)) {",
            '      printf("output %d is %g, not %g\\n", i, found[i], wanted[i]);',
            "      return 1;",
            "    }",
            '  puts("equal");',
            "  return 0;",
            "}",
            "#endif",
            "",
        ]
    )


def _arrays(packed: PackedWeights) -> list[str]:
    return [
        _array("uint32_t", "starts", packed.starts),
        _array("uint16_t", "columns", packed.columns),
        _array("float", "values", packed.values.ravel()),
        _array("float", "bias", packed.bias),
    ]


def _array(kind: str, name: str, values: Iterable[float]) -> str:
    numbers = ", ".join(f"{float(v):.9g}" for v in values)
    return f"static const {kind} {name}[] = {{{numbers}}};"
