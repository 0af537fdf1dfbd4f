"""Accuracies from images: every searched subnet is evaluated, and no evaluation is lost.

`evaluations.jsonl` (`nas.evaluations/1`): a first line with what was evaluated on, then one line
per subnet, on the disk before the search goes on. Counts are images, so they are exact.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from nas.files import record_of
from nas.search.folder import SCRATCH, RunFolder
from nas.search.images.evaluator import Counts, Evaluator
from nas.search.listener import Listener
from nas.search.model import Model
from nas.search.settings import SearchSettings
from predictors import AccuracyTable
from search_spaces import Bools, Floats, Genes, InputError, PolicyGrid, Space, read_bytes

SCHEMA = "nas.evaluations/1"

Evaluate = Callable[[Sequence[str]], Iterator[tuple[str, Counts]]]


class EvaluatedAccuracy:
    """Error and exit rates of any subnet: the table's row, an earlier evaluation, or a new one.

    `evaluate` runs the subnets it is given and yields them as they come, in any order. Rates are
    rounded as those of a table are.
    """

    def __init__(
        self,
        space: Space,
        table: AccuracyTable,
        log: EvaluationLog,
        evaluate: Evaluate,
        on_evaluation: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.space, self.table, self.log = space, table, log
        self.evaluate, self.on_evaluation = evaluate, on_evaluation

    @property
    def grid(self) -> PolicyGrid:
        return self.table.grid

    def __call__(self, genes: Genes) -> tuple[Floats, Floats, Bools]:
        row = self.table.rows(genes)
        names = [str(subnet) for subnet in self.space.subnets(genes)]
        unknown = self.unknown(genes)
        for name, counts in self.evaluate(unknown) if unknown else ():
            self.add(name, counts)
        error = np.empty((len(row), len(self.grid)), dtype=np.float32)
        rates = np.empty((*error.shape, self.grid.n_exits + 1), dtype=np.float32)
        for i, (name, r) in enumerate(zip(names, row, strict=True)):
            if r >= 0:
                error[i], rates[i] = self.table.top1_error_pct[r], self.table.exit_rate[r]
            else:
                error[i], rates[i] = self._rounded(self.log.counts[name])
        return error, rates, np.ones(len(row), dtype=bool)

    def unknown(self, genes: Genes) -> list[str]:
        """Those of the subnets that have to be evaluated, each once."""
        row = self.table.rows(genes)
        names = dict.fromkeys(str(subnet) for subnet in self.space.subnets(genes[row < 0]))
        return [name for name in names if name not in self.log.counts]

    def add(self, subnet: str, counts: Counts) -> None:
        """Keep one evaluation."""
        self.log.add(subnet, counts)
        self.on_evaluation(len(self.log.counts))

    def _rounded(self, counts: Counts) -> tuple[Floats, Floats]:
        share = counts / self.log.n_images
        rates = share[:, 1:].astype(np.float16).astype(np.float32)
        return 100 * share[:, 0], rates / rates.sum(axis=1, keepdims=True)


class EvaluationLog:
    """`counts` by subnet, kept in a file that grows by one line per evaluation."""

    def __init__(self, path: Path, described: dict[str, Any]) -> None:
        """Read `path` if it exists. InputError: it belongs to other weights or other images."""
        self.path, self.n_images = path, int(described["n_images"])
        self.counts: dict[str, Counts] = {}
        header = {"schema": SCHEMA, **described}
        lines = self._whole_lines()
        if lines:
            self._check(lines[0], header)
            self.counts = dict(self._rows(lines[1:]))
        self._file: IO[bytes] = path.open("ab")
        if not lines:
            self._write(header)

    def add(self, subnet: str, counts: Counts) -> None:
        """Keep one evaluation; it is on the disk when this returns."""
        self._write(
            {"subnet": subnet, "crc32": _checksum(subnet, counts), "counts": counts.tolist()}
        )
        self.counts[subnet] = counts

    def close(self) -> None:
        self._file.close()

    def _write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _whole_lines(self) -> list[bytes]:
        """The lines of the file, without one that a kill left unfinished."""
        if not self.path.exists():
            return []
        data = read_bytes(self.path)
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        return whole.splitlines()

    def _check(self, line: bytes, header: dict[str, Any]) -> None:
        found = record_of(line) or {}
        changed = [k for k, v in header.items() if found.get(k) != v]
        if changed:
            raise InputError(
                f"{self.path} holds evaluations with another {', '.join(changed)}; "
                "give the same supernet and images, another `out`, or `overwrite=True`"
            )

    def _rows(self, lines: Iterable[bytes]) -> Iterator[tuple[str, Counts]]:
        """Lines that are whole and undamaged; the subnets of others are evaluated again."""
        for record in map(record_of, lines):
            if record is None or not isinstance(record.get("subnet"), str):
                continue
            try:
                counts = np.array(record.get("counts"), dtype=np.int32)
            except (TypeError, ValueError, OverflowError):
                continue
            # older files have a checksum of the counts alone
            if record.get("crc32") in (_checksum(record["subnet"], counts), _checksum("", counts)):
                yield record["subnet"], counts


def _checksum(subnet: str, counts: Counts) -> int:
    return zlib.crc32(subnet.encode() + counts.astype("<i4").tobytes())


@contextmanager
def image_accuracy(
    settings: SearchSettings, model: Model, folder: RunFolder, listener: Listener
) -> Iterator[EvaluatedAccuracy]:
    """Accuracies of `model` from the validation images in `settings.data`, kept in `folder`.

    Evaluated in this process, or by the Ray cluster of `settings.ray`.
    """
    from nas.zoo.folder import matching_dataset
    from supernets import Evaluation, load_supernet

    assert model.folder is not None  # check_data saw to it
    assert model.supernet is not None
    supernet, metadata = load_supernet(model.folder / "weights.safetensors")
    images = Evaluation.of(matching_dataset(metadata, settings.data), "validation")
    table = model.accuracy.table
    evaluator = Evaluator(supernet, images, table.grid, table.temperatures)
    described = {"supernet_sha256": model.supernet["sha256"], **evaluator.describe()}
    scratch = folder.out / SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)  # of a killed search
    with ExitStack() as stack:
        evaluate: Evaluate = evaluator.each
        if settings.ray is not None:
            from nas.cluster.cluster import Cluster

            cluster = stack.enter_context(Cluster(settings.ray, evaluator, scratch, listener.stage))
            listener.stage(f"Ray: {cluster.describe()}")
            evaluate = cluster
        folder.start()
        log = stack.enter_context(closing(EvaluationLog(folder.evaluations, described)))
        yield EvaluatedAccuracy(model.space, table, log, evaluate, listener.evaluation)
