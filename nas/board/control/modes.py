"""Power modes of a Jetson by name: the numbers of `nvpmodel` differ between releases."""

from __future__ import annotations

import os
import re
from typing import Sequence

from .journal import Journal
from .sysfs import BoardError, DeniedError, Sysfs

CONF, STATUS = "/etc/nvpmodel.conf", "/var/lib/nvpmodel/status"


def list_modes(fs: Sysfs) -> dict[str, int]:
    """Names and numbers from `/etc/nvpmodel.conf`; empty on a board without it."""
    if not fs.exists(CONF):
        return {}
    blocks = re.findall(r"^\s*<\s*POWER_MODEL\s+([^>]*)>", fs.read(CONF), re.MULTILINE)
    modes = {}
    for block in blocks:
        fields = dict(re.findall(r"(\w+)=(\S+)", block))
        if "NAME" in fields and fields.get("ID", "").isdigit():
            modes[fields["NAME"]] = int(fields["ID"])
    return modes


def current_mode(fs: Sysfs) -> str | None:
    """The mode now, from `nvpmodel -q`, else from its status file; None without either."""
    modes = list_modes(fs)
    if not modes:
        return None
    try:
        found = re.search(r"^NV Power Mode: *(\S+)", fs.run("nvpmodel", "-q"), re.MULTILINE)
        if found:
            return found.group(1)
    except BoardError:  # some releases answer root alone
        pass
    if not fs.exists(STATUS):
        return None
    status = re.search(r"pmode:0*(\d+)", fs.read(STATUS))
    numbers = {number: name for name, number in modes.items()}
    return numbers.get(int(status.group(1))) if status else None


def set_mode(journal: Journal, name: str, limits: Sequence[str] = ()) -> None:
    """Switch to the mode `name`; BoardError where it is unknown or wants a reboot.

    `limits` are files that a mode writes as well, such as the highest clock: they are put back
    behind the mode.
    """
    fs = journal.fs
    modes, before = list_modes(fs), current_mode(fs)
    if name not in modes:
        known = ", ".join(modes) or f"none: {CONF} is not there"
        raise BoardError(f"power mode {name!r} is not on this board; it has {known}")
    if name == before:
        return
    if before not in modes:
        raise DeniedError(
            "the present power mode cannot be read, so it could not be put back; run as root"
        )
    for path in limits:
        journal.note_value(path)
    journal.note_command("nvpmodel", "-m", str(modes[before]))
    try:
        said = fs.run("nvpmodel", "-m", str(modes[name]), answer="no\n")
    except BoardError as error:
        if current_mode(fs) == before:
            journal.drop_last()
        if "eboot" not in str(error):
            raise (DeniedError(str(error)) if os.geteuid() else error) from None
        said = str(error)
    found = current_mode(fs)
    if found != name:
        why = f"it wants a reboot: run `nvpmodel -m {modes[name]}` once by hand"
        why = (
            why
            if "eboot" in said
            else "nvpmodel said: " + (" ".join(said.split())[:200] or "nothing")
        )
        raise BoardError(f"power mode {name} was asked and {found} is set; {why}")
