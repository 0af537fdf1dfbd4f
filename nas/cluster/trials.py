"""What Ray Tune calls: the trial, the searcher that hands out items, the end of it all."""

from __future__ import annotations

import os
import queue
from collections import Counter
from collections.abc import Callable
from typing import Any

from search_spaces import InputError

os.environ.update(  # Ray reads these when it is imported
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ENABLE_AUTO_CONNECT="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_worker_niceness="0",  # here: what is timed runs as any other program does
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_MAX_PENDING_TRIALS_PG="1000",  # every free core at once, not one core after another
)
try:
    import ray
    from ray import tune
    from ray._private import ray_constants
    from ray.tune.search import Searcher
except ImportError as error:
    raise InputError(f"`ray` needs Ray ({error}): pip install 'nas[ray]'") from None

__all__ = ["Handout", "Stop", "WorkTrial", "ray", "ray_constants", "tune"]

N_DEATHS = 10  # deaths of a worker or node that one item survives
WAIT_S = 0.5  # that a searcher with nothing to do waits before Tune asks again


class WorkTrial(tune.Trainable):
    """A Tune trial: one item, one step. Its process stays for the next item."""

    def setup(self, config: dict[str, Any], work: Callable[[str], Any] | None = None) -> None:
        assert work is not None
        self.work, self.item = work, config["item"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.item = new_config["item"]
        return True

    def step(self) -> dict[str, Any]:
        """The result, or the reason why there is none: what a second try would not change."""
        try:
            return {"done": True, "result": [self.work(self.item)]}  # in a list, or Tune unfolds it
        except InputError as error:
            return {"done": True, "reason": str(error)}
        except Exception as error:
            return {"done": True, "reason": f"{type(error).__name__}: {error}"}


class Handout(Searcher):
    """Gives Tune the items that were asked for, in order, and takes the results.

    An item whose worker or node died is handed out again. (Tune's own recovery gives a trial up
    that loses its worker between two items.)
    """

    def __init__(self, tell: Callable[[str], None] = print) -> None:
        super().__init__()
        self.tell = tell
        self.asked: queue.Queue[str | None] = queue.Queue()
        self.told: queue.Queue[tuple[str, Any] | Exception] = queue.Queue()
        self._running: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune writes its tuner as a pickle, which nobody reads: it gets nothing of us

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a command needs to go on is in its own files."""

    def suggest(self, trial_id: str) -> Any:
        """The next item; None while nobody asks for more; FINISHED at the end."""
        try:
            item = self.asked.get(timeout=0 if self._running else WAIT_S)
        except queue.Empty:
            return None
        if item is None:
            return Searcher.FINISHED
        self._running[trial_id] = item
        return {"item": item}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell what came of an item; one whose worker died is asked for again, a few times."""
        item, found = self._running.pop(trial_id), result or {}
        self._deaths[item] += error
        if error and self._deaths[item] <= N_DEATHS:
            self.tell(f"a worker died; {item} starts again")
            self.asked.put(item)
        elif error:
            self._failed(item, f"its worker died {self._deaths[item]} times")
        elif "result" in found:
            self.told.put((item, found["result"][0]))
        else:
            self._failed(item, found.get("reason", "no result"))

    def _failed(self, item: str, reason: str) -> None:
        self.told.put(InputError(f"the trial of {item} failed: {reason}"))


class Stop(tune.Stopper):
    """Ends the experiment when told to."""

    def __init__(self) -> None:
        self.closed = False

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.closed
