"""The boards that are measured over ssh are those of the board's own tests."""

from tests.nas.board.conftest import root

__all__ = ["root"]
