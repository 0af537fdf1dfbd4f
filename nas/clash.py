"""One clear error where another module stands in front of a package that is installed with `nas`.

The wheel puts four packages at the top: `nas`, `predictors`, `search_spaces` and `supernets`. A
file `predictors.py` in the working folder, or another distribution, would be imported instead.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

TOGETHER = ("predictors", "search_spaces", "supernets")


def check_packages() -> None:
    """ImportError names the file that hides one of ours; nothing is imported."""
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for name in TOGETHER:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue
        found = os.path.realpath(spec.origin)
        if found != os.path.join(home, name, "__init__.py"):
            raise ImportError(
                f"nas comes with a package {name!r}, but Python finds {found} first; rename that "
                "file or folder, or start where it is not on Python's path"
            )
