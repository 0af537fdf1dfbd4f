"""A PostgreSQL server on a socket in a folder, where the machine has one installed."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def binary(name: str) -> str | None:
    """A program of the server; some systems keep them outside PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))


class Server:
    """A cluster in `folder`, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("psycopg", reason="PostgreSQL: needs nas[postgresql]")
        if binary("initdb") is None or binary("postgres") is None:
            pytest.skip("PostgreSQL: no server is installed")
        self.folder = folder
        self.user = {"user": "nobody"} if os.geteuid() == 0 else {}  # the server refuses root
        folder.mkdir(mode=0o700)
        if self.user:
            shutil.chown(folder, "nobody")
        arguments = ["-D", folder, "-U", "nas", "-A", "trust", "--no-sync"]
        subprocess.run([binary("initdb"), *arguments], check=True, capture_output=True, **self.user)
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://nas@/postgres?host={self.folder}"

    def start(self) -> None:
        options = ["-D", self.folder, "-k", self.folder, "-c", "listen_addresses="]
        log = subprocess.DEVNULL
        self.process = subprocess.Popen(
            [binary("postgres"), *options], stdout=log, stderr=log, **self.user
        )
        ready = [binary("pg_isready"), "-h", self.folder, "-U", "nas"]
        while subprocess.run(ready, capture_output=True).returncode:
            assert self.process.poll() is None
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def server(folder: Path):
    """A running server; its folder must be reachable for the user `nobody`."""
    running = Server(folder)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGINT)  # SIGTERM would wait for open connections
        running.process.wait()
