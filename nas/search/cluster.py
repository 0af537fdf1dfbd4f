"""Evaluations on many cores and machines: the trials of one Ray Tune experiment.

The search asks for subnets and takes counts; Tune places the trials, starts again those whose
worker or node died, and shows them in Ray's own tools. What Tune writes is never read back.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

os.environ.update(  # Ray reads these when it is imported
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_AUTO_CONNECT="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_AIR_NEW_OUTPUT="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_MAX_PENDING_TRIALS_PG="1000",  # every free core at once, not one core after another
)
import ray
from ray import tune
from ray.tune.search import Searcher

from nas.search.evaluator import Counts, Evaluator
from nas.search.storage import first_line
from search_spaces import InputError

N_FAILURES = 10  # deaths of a worker or node that one subnet survives
WAIT_S = 0.5  # that a searcher with nothing to do waits before Tune asks again
CLOSE_S = 10  # for a connection, and for Tune to end


class SubnetTrial(tune.Trainable):
    """A Tune trial: one subnet, one step. Its process stays for the next subnet."""

    def setup(self, config: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
        assert arrays is not None
        self.evaluate = Evaluator.from_arrays(arrays)
        self.subnet = config["subnet"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.subnet = new_config["subnet"]
        return True

    def step(self) -> dict[str, Any]:
        """Counts, or the reason why there are none: what a second try would not change."""
        try:
            counts = self.evaluate(self.subnet)
        except Exception as error:
            return {"done": True, "reason": f"{type(error).__name__}: {error}"}
        return {"done": True, "top1_error_pct": self._best(counts), "counts": counts}

    def _best(self, counts: Counts) -> float:
        return float(100 * counts[:, 0].min() / self.evaluate.n_images)


class Handout(Searcher):
    """Gives Tune the subnets that the search has asked for, in order, and takes the results."""

    def __init__(self) -> None:
        super().__init__(metric="top1_error_pct", mode="min")
        self.asked: queue.Queue[str | None] = queue.Queue()
        self.told: queue.Queue[tuple[str, Counts] | Exception] = queue.Queue()
        self._running: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its tuner as a pickle, which nobody reads: it gets nothing of us

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what the search needs to go on is in the study and in evaluations.jsonl."""

    def suggest(self, trial_id: str) -> Any:
        """The next subnet; None while the search waits for results; FINISHED at the end."""
        try:
            subnet = self.asked.get(timeout=0 if self._running else WAIT_S)
        except queue.Empty:
            return None
        if subnet is None:
            return Searcher.FINISHED
        self._running[trial_id] = subnet
        return {"subnet": subnet}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        subnet = self._running.pop(trial_id)
        if error or result is None:
            reason = f"its worker died {N_FAILURES + 1} times"
        elif "counts" in result:
            self.told.put((subnet, result["counts"]))
            return
        else:
            reason = result.get("reason", "no result")
        self.told.put(InputError(f"subnet {subnet} could not be evaluated: {reason}"))


class Watch(tune.Callback, tune.Stopper):
    """Tells the search of every trial that is started again; ends the experiment when told to."""

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self.on_death, self.closed = on_death, False

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.on_death(f"a worker died; {trial.config['subnet']} is evaluated again")

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.closed


class Cluster:
    """`cluster(subnets)` yields subnets with their counts as they come, from any node."""

    def __init__(
        self,
        address: str,
        evaluator: Evaluator,
        scratch: Path,
        on_death: Callable[[str], None] = print,
    ) -> None:
        """`address` is `auto`, `HOST:PORT` of a running cluster, or `local` for this machine.

        `scratch` is a folder for what Tune writes; it is there only while the cluster is used.
        """
        self.address, self.evaluator, self.scratch = address, evaluator, scratch
        self.handout, self.watch = Handout(), Watch(on_death)

    def __enter__(self) -> Cluster:
        connect(self.address)
        self._thread = threading.Thread(target=self._run, name="tune", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.watch.closed = kind is not None  # nobody waits for the trials that still run
        self.handout.asked.put(None)
        self._thread.join(timeout=CLOSE_S)
        ray.shutdown()
        shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def n_slots(self) -> int:
        """Trials that run at once."""
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def describe(self) -> str:
        """What answered: nodes and cores."""
        n_nodes = sum(node["Alive"] for node in ray.nodes())
        return f"{n_nodes} node{'s'[: n_nodes > 1]}, {self.n_slots} trials at once"

    def submit(self, subnets: Sequence[str]) -> None:
        for subnet in subnets:
            self.handout.asked.put(subnet)

    def take(self) -> tuple[str, Counts]:
        """The next finished evaluation."""
        told = self.handout.told.get()
        if isinstance(told, Exception):
            raise told
        return told

    def __call__(self, subnets: Sequence[str]) -> Iterator[tuple[str, Counts]]:
        self.submit(subnets)
        for _ in subnets:
            yield self.take()

    def _run(self) -> None:
        """The experiment, in a thread of its own: the search keeps the main one."""
        try:
            self._tuner().fit()
            self.handout.told.put(InputError("Ray Tune ended before the search did"))
        except Exception as error:
            self.handout.told.put(InputError(f"Ray: {first_line(error)}; go on with --resume"))

    def _tuner(self) -> tune.Tuner:
        trainable = tune.with_parameters(SubnetTrial, arrays=self.evaluator.to_arrays())
        return tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            tune_config=tune.TuneConfig(search_alg=self.handout, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="search",
                storage_path=str(self.scratch.resolve()),
                verbose=0,
                stop=self.watch,
                callbacks=[self.watch],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=N_FAILURES),
            ),
        )


def connect(address: str) -> None:
    """Join the cluster at `address`. InputError: there is none."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # Watch tells what a user needs
    try:
        if address not in ("auto", "local"):
            _check_answers(address)
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"--ray {address}: no cluster answers ({first_line(error)}); start one with "
            "`ray start --head`, or give --ray local for the cores of this machine"
        ) from None


def _check_answers(address: str) -> None:
    """Whether somebody listens at HOST:PORT; Ray itself would ask for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host, int(port)), timeout=CLOSE_S).close()
