"""Comments of a TOML file, which are the sources of a profile's figures."""

from __future__ import annotations

import subprocess
import sys

from nas.devices.comments import read_comments

TEXT = """\
# a remark on a line of its own
name = "board # 3" # the name
plain = "no # comment"
clocks = [1, 2] # a list
modes = [ # behind the first line
  { name = "a # b" },
]

[gpu] # a table
peak = { fp32 = 4 } # in it

[sysfs.jp5] # below a table without a header
load = "x"
"""


def test_comments_are_found_and_text_with_a_hash_is_none() -> None:
    assert read_comments(TEXT) == {
        "name": "the name",
        "clocks": "a list",
        "modes": "behind the first line",
        "gpu": "a table",
        "gpu.peak": "in it",
        "sysfs.jp5": "below a table without a header",
    }


def test_a_search_pays_for_no_comments() -> None:
    """Parsing comments takes ten times as long as parsing values; scikit-learn takes seconds."""
    code = """
import sys
from nas.devices import get_device
get_device("nano")
late = {"tomlkit", "sklearn", "predictors"} & set(sys.modules)
assert not late, late
"""
    subprocess.run([sys.executable, "-c", code], check=True)
