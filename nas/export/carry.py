"""The code that an export carries: engine, governor and control of the board in one start file."""

from __future__ import annotations

import zipfile
from pathlib import Path

START = "run.pyz"
CARRIED = ("runtime", "board/control", "start")  # rooms of `nas`
ROOT = Path(__file__).parents[1]
DAY_ONE = (1980, 1, 1, 0, 0, 0)  # the same code gives the same bytes

MAIN = '''"""Starts what this file carries on the folder that it lies in."""

import os
import sys

if sys.version_info < (3, 8):
    sys.exit("run.pyz: this is Python %d.%d, it needs 3.8 or later" % sys.version_info[:2])
try:
    from nas.start.main import main
except ModuleNotFoundError as error:
    sys.exit("run.pyz: {0} is not installed: pip install {0}".format(error.name))

main(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
'''
PACKAGE = '"""What `nas export` carries to a board."""\n'


def write_start(folder: Path) -> str:
    """Write the start file into `folder`: a zip that Python 3.8 and later run; its name.

    It needs numpy and onnxruntime; nothing else of this project.
    """
    sources = {"__main__.py": MAIN, "nas/__init__.py": PACKAGE, "nas/board/__init__.py": PACKAGE}
    for room in CARRIED:
        for path in sorted((ROOT / room).glob("*.py")):
            sources[f"nas/{path.relative_to(ROOT).as_posix()}"] = path.read_text("utf-8")
    with zipfile.ZipFile(folder / START, "w") as packed:
        for name, text in sources.items():
            entry = zipfile.ZipInfo(name, DAY_ONE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, text)
    return START
