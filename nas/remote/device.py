"""A board behind ssh as a device: one row after the other is measured there."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

from nas.devices.analytic import AnalyticDevice
from nas.remote.messages import Message
from nas.remote.programs import BACKEND_OF, PRECISIONS, RemoteSettings, measure_programs
from nas.remote.ssh import Remote
from search_spaces import DvfsLevel, InputError, Row, Space, Subnet

RUNNER_OF = {backend: runner for runner, backend in BACKEND_OF.items()}


class RemoteDevice:
    """The board that `profile` describes, measured with ONNX Runtime or TensorRT.

    Levels and power mode are the profile's; `settings` are the protocol's (`board.protocol`);
    `say` gets what the board reports besides rows.
    """

    source = "measured"

    def __init__(
        self,
        remote: Remote,
        model: AnalyticDevice,
        *,
        backend: str | None = None,
        precision: str | None = None,
        settings: Mapping[str, object] | None = None,
        say: Callable[[Message], None] = lambda message: None,
    ) -> None:
        usual = "tensorrt" if model.backend == "tensorrt" else "onnxruntime"
        self.backend = backend or usual
        if self.backend not in RUNNER_OF:
            raise InputError(
                f"a board measures with {' or '.join(RUNNER_OF)}, got `backend` {self.backend}"
            )
        runs = PRECISIONS[RUNNER_OF[self.backend]]
        self.precision = precision or (model.precision if model.precision in runs else runs[0])
        self.remote, self.say = remote, say
        self._board, self._settings = model.profile.board(), settings or {}
        self.name, self.processor, self.batch = model.name, model.processor, model.batch
        self.power_mode, self.levels, self.threads = model.power_mode, model.levels, model.threads
        self.decision_ms = model.decision_ms

    def at(self, settings: Sequence[DvfsLevel]) -> RemoteDevice:
        """The same board with `settings` for its levels."""
        twin = copy.copy(self)
        twin.levels = list(settings)
        return twin

    def measure(self, space: Space, subnet: Subnet, heads: Sequence[int], level: int = -1) -> Row:
        """One measured row of the program; InputError where the board cannot."""
        level = range(len(self.levels))[level]
        runner = RUNNER_OF[self.backend]
        how = RemoteSettings(self._board, self._settings, runner=runner, threads=self.threads)
        job = (subnet, tuple(heads), level, 0)
        (row,) = measure_programs(self.remote, self, space, [job], how, say=self.say)
        return row
