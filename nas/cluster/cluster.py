"""Work on many cores and machines: the trials of one Ray Tune experiment.

The work is a function of one item. A command asks for items and takes results; Tune places the
trials, and shows them in Ray's own tools. An item whose worker or node died becomes another trial.
What Tune writes is never read back.
"""

from __future__ import annotations

import json
import logging
import queue
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from nas.cluster.trials import Handout, Stop, WorkTrial, ray, ray_constants, tune
from nas.files import first_line
from search_spaces import InputError

MEASURE = "measure"  # the resource of nodes that are quiet enough to time programs
LOOK_S = 2.0  # without a result, until the nodes are looked at
CLOSE_S = 10  # for a connection, and for Tune to end


class NoPlaceError(InputError):
    """The cluster answers, and none of its nodes has what a trial needs."""


class Cluster:
    """`cluster(items)` yields items with their results as they come, from any node."""

    def __init__(
        self,
        address: str,
        work: Callable[[str], Any],
        scratch: Path,
        tell: Callable[[str], None] = print,
        *,
        needs: Mapping[str, int] | None = None,
    ) -> None:
        """`address` is `auto`, `HOST:PORT` of a running cluster, or `local` for this machine.

        `work` goes through the object store, once per node; a trial takes the resources `needs`
        of one node, a core without it. `scratch` is a folder for what Tune writes; it is there
        only while the cluster is used.
        """
        self.address, self.work, self.scratch, self.tell = address, work, scratch, tell
        self.needs = needs or {"CPU": 1}
        self.handout, self.stop = Handout(tell), Stop()
        self._waiting = False

    def __enter__(self) -> Cluster:
        connect(self.address)
        if not self.n_slots:
            missing = self._missing()
            ray.shutdown()
            raise NoPlaceError(f"`ray` {self.address}: {missing}")
        shutil.rmtree(self.scratch, ignore_errors=True)  # of a killed process
        self._thread = threading.Thread(target=self._run, name="tune", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop.closed = kind is not None  # nobody waits for the trials that still run
        self.handout.asked.put(None)
        self._thread.join(timeout=CLOSE_S)
        ray.shutdown()
        self._thread.join(timeout=CLOSE_S)  # a slow one, which ends now: till then it may write
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def n_slots(self) -> int:
        """Trials that run at once."""
        return sum(self._slots_of_nodes())

    def describe(self) -> str:
        """What answered: nodes that can run a trial, and how many they run."""
        n_nodes = sum(slots > 0 for slots in self._slots_of_nodes())
        n_slots = self.n_slots
        return f"{n_nodes} node{'s'[: n_nodes > 1]}, {n_slots} trial{'s'[: n_slots > 1]} at once"

    def submit(self, items: Sequence[str]) -> None:
        for item in items:
            self.handout.asked.put(item)

    def take(self) -> tuple[str, Any]:
        """The next item that is done. Says so once where no node is left to do any."""
        while True:
            try:
                told = self.handout.told.get(timeout=LOOK_S)
            except queue.Empty:
                self._look()
                continue
            if isinstance(told, Exception):
                raise told
            return told

    def __call__(self, items: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """Tune has twice as many items as run at once: enough for nodes that join, and few."""
        left, n_open = iter(items), 0
        for _ in items:
            more = list(islice(left, max(0, 2 * self.n_slots + 1 - n_open)))
            self.submit(more)
            n_open += len(more) - 1
            yield self.take()

    def _slots_of_nodes(self) -> list[int]:
        return [
            int(min(node["Resources"].get(name, 0) // n for name, n in self.needs.items()))
            for node in ray.nodes()  # type: ignore[no-untyped-call]  # of Ray
            if node["Alive"]
        ]

    def _look(self) -> None:
        """Nothing came for a while: say where nobody is left, and where somebody is back."""
        waiting = not self.n_slots
        if waiting and not self._waiting:
            self.tell(f"waiting: {self._missing()}")
        elif self._waiting and not waiting:
            self.tell(f"Ray: {self.describe()}")
        self._waiting = waiting

    def _missing(self) -> str:
        wanted = " and ".join(f"{name}: {n}" for name, n in self.needs.items())
        if self.address == "local":
            return f"this machine does not have the resources {wanted}"
        own = json.dumps({name: n for name, n in self.needs.items() if name != "CPU"})
        option = f" --resources='{own}'" if own != "{}" else ""
        command = f"ray start --address={ray.get_runtime_context().gcs_address}{option}"
        return f"no node has the resources {wanted}; start one with `{command}`"

    def _run(self) -> None:
        """The experiment, in a thread of its own: the command keeps the main one."""
        try:
            self._tuner().fit()
            self.handout.told.put(InputError("Ray Tune ended before the work did"))
        except Exception as error:
            self.handout.told.put(InputError(f"Ray: {first_line(error)}; what was done is kept"))

    def _tuner(self) -> tune.Tuner:
        trainable = tune.with_parameters(WorkTrial, work=self.work)
        place = tune.PlacementGroupFactory([dict(self.needs)])
        return tune.Tuner(
            tune.with_resources(trainable, place),
            tune_config=tune.TuneConfig(search_alg=self.handout, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="work",
                storage_path=str(self.scratch.resolve()),
                verbose=0,
                stop=self.stop,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )


def connect(address: str) -> None:
    """Join the cluster at `address`. InputError: there is none."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # Handout tells what a user needs
    local = address == "local"
    many = ray_constants.ENABLE_RAY_CLUSTER  # Ray reads its variable when it is imported
    ray_constants.ENABLE_RAY_CLUSTER = many and not local  # without, it listens on loopback alone
    try:
        if address not in ("auto", "local"):
            _check_answers(address)
        ray.init(
            address=address,
            resources={MEASURE: 1} if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except Exception as error:  # a node that does not start raises a plain Exception
        if local:
            raise InputError(
                f"`ray` local: Ray does not start on this machine ({first_line(error)}); without "
                "`ray` the work is done in this process"
            ) from None
        if "AuthToken" in str(error.__cause__):  # ours is looked for only where this is set
            raise InputError(
                f"`ray` {address}: the cluster asks for a token; give this command and every "
                "`ray start` RAY_AUTH_MODE=token, and every machine the first one's "
                "~/.ray/auth_token"
            ) from None
        raise InputError(
            f"`ray` {address}: no cluster answers ({first_line(error)}); start one with "
            "`ray start --head`, or give `ray` local for the cores of this machine"
        ) from None
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = many


def _check_answers(address: str) -> None:
    """Whether somebody listens at HOST:PORT; Ray itself would ask for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=CLOSE_S).close()
