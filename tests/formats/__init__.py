"""Every kind of file that is read: how a small whole one is made, and what reads it.

A reader's answer is compared with that of the whole file where the format vouches for its content.
"""

from importlib.util import find_spec

from tests.formats import boards, images, predictors, searches, tables, weights
from tests.formats.kind import REPO, Format

ROOMS = (tables, predictors, weights, images, boards, searches)
FORMATS: dict[str, Format] = {name: kind for room in ROOMS for name, kind in room.FORMATS.items()}
PARQUET = find_spec("pyarrow") is not None  # an extra
if not PARQUET:
    del FORMATS["rows in Parquet"]

__all__ = ["FORMATS", "PARQUET", "REPO"]
