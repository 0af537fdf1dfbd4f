"""A board behind ssh: the files are those of the board's own tests, the server is on loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nas.remote import session
from nas.remote.ssh import Remote
from tests.nas.board.conftest import root

if TYPE_CHECKING:
    from tests.nas.remote.ssh_server import SshServer

__all__ = ["root"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    pytest.importorskip("asyncssh")
    from tests.nas.remote.ssh_server import SshServer

    made = SshServer(tmp_path)
    yield made
    made.close()


@pytest.fixture
def board(server: SshServer, root: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A board whose files are the tree at `root`: bare, unless the test builds one."""
    monkeypatch.setattr(session, "FIRST_WAIT_S", 0.1)
    (root / "var/lib").mkdir(parents=True)
    python = server.home.parent / "python3"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\" --root '{root}'\n")
    python.chmod(0o755)
    return Remote("board", python=str(python), options=["-F", str(server.config)])
