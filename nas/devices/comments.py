"""Comments of a TOML file: in a profile they are the sources of its figures.

tomlkit keeps them, and takes ten times as long as tomllib, which reads the values.
"""

from __future__ import annotations

import re

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.container import Container
from tomlkit.items import Array, Table


def read_comments(text: str) -> dict[str, str]:
    """The comment behind every value and every `[table]`, by dotted name.

    A value of several lines may have it behind its first line: `modes = [ # source`.
    """
    return _behind(tomlkit.parse(text))


def _behind(table: TOMLDocument | Container, within: str = "") -> dict[str, str]:
    found = {}
    for key, item in table.body:
        if key is None:
            continue  # an empty line, or a comment on a line of its own
        name = f"{within}{key.key}"
        implied = isinstance(item, Table) and item.is_super_table()  # `a` of `[a.b]`
        comment = "" if implied else item.trivia.comment
        if isinstance(item, Array) and not comment:
            first = re.match(r"\[\s*(#.*)", item.as_string())
            comment = first[1] if first else ""
        if comment:
            found[name] = comment.removeprefix("#").strip()
        if isinstance(item, Table):
            found |= _behind(item.value, f"{name}.")
    return found
