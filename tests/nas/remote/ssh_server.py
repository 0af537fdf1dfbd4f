"""An ssh server on loopback that does what sshd does: keys, a login shell, no mercy on a drop."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from pathlib import Path
from typing import Any

import asyncssh


class SshServer:
    """Runs in a thread. `folder` gets the keys, the client's `config` and `home`."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.config = folder / "config"
        self._folder = folder
        self._connections: list[asyncssh.SSHServerConnection] = []
        self._children: list[subprocess.Popen[bytes]] = []
        self.commands: list[str] = []
        self._host, client = asyncssh.generate_private_key("ssh-ed25519"), self._client_key()
        self._authorized = folder / "authorized_keys"
        client.write_public_key(str(self._authorized))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._wait(self._start(0))
        self.trust(self._host)

    def trust(self, key: asyncssh.SSHKey) -> None:
        """Put `key` into the client's known_hosts as this server's."""
        public = key.export_public_key().decode()
        known = self._folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {public}")
        lines = [
            "Host board",
            "  HostName 127.0.0.1",
            f"  Port {self.port}",
            "  User someone",
            f'  IdentityFile "{self._folder / "id"}"',
            "  IdentitiesOnly yes",
            f'  UserKnownHostsFile "{known}"',
            "  GlobalKnownHostsFile none",
        ]
        self.config.write_text("\n".join([*lines, ""]))

    def drop(self) -> None:
        """Cut every connection; what runs goes on, its pipes are closed."""

        def cut() -> None:
            for connection in self._connections:
                connection.abort()
            self._connections.clear()

        self._loop.call_soon_threadsafe(cut)

    def stop(self) -> None:
        self._wait(self._stop())

    def start(self) -> None:
        """Again, on the same port."""
        self._wait(self._start(self.port))

    def close(self) -> None:
        self.drop()
        self.stop()
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _client_key(self) -> asyncssh.SSHKey:
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(str(self._folder / "id"))
        (self._folder / "id").chmod(0o600)
        return key

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _start(self, port: int) -> int:
        outer = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                outer._connections.append(conn)

        self._listener = await asyncssh.create_server(
            Server,
            "127.0.0.1",
            port,
            server_host_keys=[self._host],
            authorized_client_keys=str(self._authorized),
            process_factory=self._run,
            encoding=None,
        )
        return int(self._listener.get_port())

    async def _stop(self) -> None:
        self._listener.close()  # not waited for: from Python 3.12.1 on it waits for connections too

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.commands.append(process.command or "")
        pipe = subprocess.PIPE
        child = subprocess.Popen(
            ["/bin/sh", "-c", process.command or ""],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": f"{self._folder / 'bin'}:/usr/bin:/bin"},
        )
        self._children.append(child)
        streams = [child.stdin, child.stdout, child.stderr]
        try:
            await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
            ended = self._loop.run_in_executor(None, child.wait)
            done, _ = await asyncio.wait(
                [ended, asyncio.ensure_future(process.wait_closed())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended in done:
                await process.stdout.drain()
                process.exit(ended.result())
        finally:
            for stream in streams:
                with contextlib.suppress(OSError):
                    assert stream is not None
                    stream.close()
