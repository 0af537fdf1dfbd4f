"""The system's ssh as a way to a board."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nas.remote.session import Plan, measure_remote
from nas.remote.ssh import UNPACK, Remote, pack, ship
from search_spaces import InputError
from tests.nas.remote.echo import QUICK, echo

asyncssh = pytest.importorskip("asyncssh")
from tests.nas.remote.ssh_server import SshServer  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no `ssh` on this machine")


def test_what_is_shipped_travels_once_and_leaves_nothing(server: SshServer, board: Remote) -> None:
    archive, folders = pack({"a": b"1"}), server.home / ".cache" / "nas-board"
    first = ship(board, archive)
    stamp = (Path(first) / "files" / "a").stat().st_mtime_ns
    assert ship(board, archive) == first
    assert (Path(first) / "files" / "a").stat().st_mtime_ns == stamp
    assert sorted(path.name for path in Path(first).iterdir()) == ["board", "files"]
    before = set(folders.iterdir())
    list(measure_remote(board, echo(1)))
    assert set(folders.iterdir()) == before
    assert pack({"a": b"1", "b": b"2"}) == pack({"b": b"2", "a": b"1"})


def test_two_that_ship_the_same_at_once(tmp_path: Path) -> None:
    """Both find nothing on the board; the second one arrives where the first has unpacked."""
    archive = pack({})
    checksum, pipe = hashlib.sha256(archive).hexdigest(), subprocess.PIPE
    command = [sys.executable, "-c", UNPACK, str(tmp_path), checksum, str(len(archive))]
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == b"send\n"
    for process in both:
        said, _ = process.communicate(archive)
        assert (process.returncode, said) == (0, f"{tmp_path / checksum}\n".encode())
    assert [path.name for path in tmp_path.iterdir()] == [checksum]


def test_a_wrong_host_key_is_refused(server: SshServer, board: Remote) -> None:
    server.trust(asyncssh.generate_private_key("ssh-ed25519"))
    with pytest.raises(
        InputError, match=r"board: Host key verification failed; .*`ssh board` and check"
    ):
        list(measure_remote(board, echo(1)))
    assert server.commands == []


def test_an_unknown_host_key_is_refused(server: SshServer, board: Remote, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    with pytest.raises(InputError, match="Host key verification failed"):
        list(measure_remote(board, echo(1)))
    assert server.commands == []


def test_a_key_that_is_not_accepted(board: Remote, tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "id"))
    with pytest.raises(
        InputError, match=r"Permission denied; no key was accepted: `ssh board` must"
    ):
        list(measure_remote(board, echo(1)))


def test_paths_with_spaces_quotes_and_commands(server: SshServer, board: Remote) -> None:
    """Nothing is read by the board's shell but as the one word that it is."""
    strange = 'it\'s "a" folder; touch made; $(touch made) `touch made` & *'
    name = "a b'c\"; touch made.py"
    code = b"def make(task, folder):\n    return lambda: None, lambda: None\n"
    plan = Plan([{"runner": "module", "files": [name]}], {name: code}, settings=QUICK)
    rows = list(measure_remote(replace(board, folder=strange), plan))
    assert len(rows) == 1
    assert [path.name for path in server.home.iterdir()] == [strange]


def test_as_root_through_sudo(server: SshServer, board: Remote, tmp_path: Path) -> None:
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\n[ "$1" = -n ] && shift && echo "$@" >> "$0.log"\nexec "$@"\n')
    sudo.chmod(0o755)
    assert len(list(measure_remote(replace(board, sudo=True), echo(1)))) == 1
    log = (tmp_path / "bin" / "sudo.log").read_text().splitlines()
    assert len(log) == 1  # shipping needs no root
    assert log[0].startswith("env PYTHONPATH=")


@pytest.mark.parametrize(
    "target", ["", "-oProxyCommand=touch made", "-F/tmp/x", " -v", "me@host\n-v", "\x1b[2J"]
)
def test_a_target_is_no_option(target: str) -> None:
    with pytest.raises(InputError, match="the board must be USER@HOST"):
        Remote(target)


@pytest.mark.parametrize("target", ["me@host;touch made", "$(touch made)@h", "`touch made`", "a|b"])
def test_a_target_meets_no_shell_of_this_machine(target: str) -> None:
    """It is one argument, behind the end of ssh's options."""
    command = Remote(target).command("echo", "$HOME; touch made")
    assert command[command.index("--") + 1 :] == [target, "echo '$HOME; touch made'"]


def test_an_old_python_is_named(board: Remote, tmp_path: Path) -> None:
    """The script that is sent sees the version of Ubuntu 18.04, which JetPack 4 is built on."""
    old = tmp_path / "old python"
    patched = (
        "import sys; sys.version_info = (3, 6, 9); c = sys.argv[2]; del sys.argv[1:3]; exec(c)"
    )
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{patched}' \"$@\"\n")
    old.chmod(0o755)
    with pytest.raises(InputError, match=r"board: nas: the board has Python 3.6, it needs 3.8"):
        list(measure_remote(replace(board, python=str(old)), echo(1)))


def test_no_python_at_all(board: Remote) -> None:
    # the server of the test may close before it has read what the shell said
    said = r"board: (.*python9: .*not found|ssh ended with code 127)"
    with pytest.raises(InputError, match=said):
        list(measure_remote(replace(board, python="python9"), echo(1)))
