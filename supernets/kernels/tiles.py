"""How a plane of pixels is cut into tiles whose sums fit into registers.

A tile is a list of pieces, vectors at fixed distances; what does not fill a vector is a narrower
one that ends with the row, so that it may overlap its neighbour and writes the same values again.
"""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A vector of a tile: where it is read and written, in floats from the tile's start."""

    read: int
    write: int
    width: int  # floats, a power of two


class Tiles(NamedTuple):
    """`n` equal tiles behind each other, the first at `read` and `write`, in floats."""

    pieces: tuple[Piece, ...]
    n: int
    read: int
    write: int
    read_step: int
    write_step: int


def row_pieces(n: int, vector: int) -> list[tuple[int, int]]:
    """(start, width) of the vectors of `n` floats in a row, each at most `vector` wide."""
    pieces = [(i * vector, vector) for i in range(n // vector)]
    rest = n % vector
    if rest:
        width = 1 << (rest - 1).bit_length()
        if width <= n:
            return [*pieces, (n - width, width)]
        start = 0
        while rest:  # a row under one vector: 7 = 4 + 2 + 1
            width = 1 << (rest.bit_length() - 1)
            pieces.append((start, width))
            start, rest = start + width, rest - width
    return pieces


def plane_tiles(rows: int, width: int, row_step: int, vector: int, most: int) -> list[Tiles]:
    """Tiles of `rows` x `width` pixels, of at most `most` pieces.

    A row is read `row_step` floats behind the one before, and written `width` floats behind it.
    """
    if row_step == width:
        return _even(_row(rows * width, vector), most)
    row = row_pieces(width, vector)
    if len(row) > most:
        return [
            tiles._replace(read=tiles.read + i * row_step, write=tiles.write + i * width)
            for i in range(rows)
            for tiles in _even(_row(width, vector), most)
        ]
    each, found, done = min(most // len(row), rows), [], 0
    for n_rows in (each, rows % each):
        count = (rows - done) // n_rows if n_rows else 0
        pieces = tuple(
            Piece(i * row_step + start, i * width + start, w)
            for i in range(n_rows)
            for start, w in row
        )
        if count:
            steps = n_rows * row_step, n_rows * width
            found.append(Tiles(pieces, count, done * row_step, done * width, *steps))
            done += count * n_rows
    return found


def _row(n: int, vector: int) -> list[Piece]:
    return [Piece(start, start, width) for start, width in row_pieces(n, vector)]


def _even(pieces: list[Piece], most: int) -> list[Tiles]:
    """Tiles of two sizes at most, and the last with what is no whole vector."""
    n_tiles = -(-len(pieces) // most)
    sizes = [len(pieces) // n_tiles + (i < len(pieces) % n_tiles) for i in range(n_tiles)]
    found: list[Tiles] = []
    for size in sizes:
        part, pieces = pieces[:size], pieces[size:]
        start = part[0].read
        tile = tuple(Piece(p.read - start, p.write - start, p.width) for p in part)
        step, last = size * tile[0].width, found[-1] if found else None
        if last and last.pieces == tile and last.read + last.n * step == start:
            found[-1] = last._replace(n=last.n + 1)
        else:
            found.append(Tiles(tile, 1, start, start, step, step))
    return found
