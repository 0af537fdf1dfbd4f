"""Tiles cover every pixel of a plane, within it, with no more pieces than asked for."""

from hypothesis import given
from hypothesis import strategies as st

from supernets.kernels.tiles import plane_tiles


@given(
    rows=st.integers(1, 30),
    width=st.integers(1, 60),
    more=st.integers(0, 3),
    vector=st.sampled_from([4, 8, 16]),
    most=st.integers(1, 6),
)
def test_every_pixel_is_written_from_its_place(rows, width, more, vector, most) -> None:
    step, found = width + more, {}
    for tiles in plane_tiles(rows, width, step, vector, most):
        assert len(tiles.pieces) <= most or width < vector
        for i in range(tiles.n):
            for piece in tiles.pieces:
                read = tiles.read + i * tiles.read_step + piece.read
                write = tiles.write + i * tiles.write_step + piece.write
                found |= {write + j: read + j for j in range(piece.width)}
    assert found == {r * width + c: r * step + c for r in range(rows) for c in range(width)}
