"""What a search keeps, and its result."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from nas.cli.spaces import _subnet
from nas.export.one import is_configuration
from nas.pareto.read import read_pareto
from nas.search import SearchSettings
from nas.search.folder import _devices_of, _same, extent_of
from nas.search.images.log import EvaluationLog
from nas.search.study.storage import open_storage
from nas.search.study.warm_start import read_warm_start
from tests.formats.kind import DIGITS, Format, text
from tests.nas.pareto.results import small_result

HEADER = {"n_images": 40, "split": "validation"}
FINGERPRINT = {"device": "nano", "others": ["orin-nano"], "seed": 0, "n_trials": 100}
CONFIG = '{"ks": 3, "e": 6, "d": 2, "r": 224}'


def study_journal(path: Path) -> None:
    storage = open_storage(None, path)
    study = optuna.create_study(storage=storage, study_name="nas", directions=["minimize"] * 2)
    study.add_trials([optuna.create_trial(values=[1.0, i]) for i in range(3)])


def study_database(path: Path) -> None:
    storage = open_storage(f"sqlite:///{path}", path)
    study = optuna.create_study(storage=storage, study_name="nas", directions=["minimize"] * 2)
    study.add_trials([optuna.create_trial(values=[1.0, i]) for i in range(3)])
    with sqlite3.connect(path) as connection:
        connection.execute("VACUUM")


def read_study(storage: str | None, path: Path) -> Any:
    from nas.search.study.storage import faults_named

    opened = open_storage(storage, path)
    with faults_named(str(path)):
        found = [opened.get_all_trials(study._study_id) for study in opened.get_all_studies()]
        return [str(trial) for of in found for trial in of]


def evaluations(path: Path) -> None:
    log = EvaluationLog(path, HEADER)
    for i in range(3):
        log.add(f"subnet{i}", np.arange(4, dtype=np.int32).reshape(2, 2) + i)
    log.close()


def read_evaluations(path: Path) -> Any:
    log = EvaluationLog(path, HEADER)
    log.close()
    return {name: counts.tolist() for name, counts in log.counts.items()}


def read_state(path: Path) -> Any:
    _same(path, FINGERPRINT)
    return _devices_of(path), SearchSettings("nano", "run", **extent_of(path.parent)).extent()


FORMATS = {
    "study's journal": Format("study.journal", study_journal, lambda p: read_study(None, p)),
    "study's database": Format(
        "study.db", study_database, lambda p: read_study(f"sqlite:///{p}", p), 8
    ),
    "evaluations": Format("evaluations.jsonl", evaluations, read_evaluations, 130),
    "run": Format("run.json", text(json.dumps(FINGERPRINT)), read_state),
    "configuration": Format(
        "net.config",
        text(CONFIG),
        lambda p: (is_configuration(p), _subnet("ofa-mobilenetv3", p)),
        130,
    ),
    "result": Format(
        "pareto.json",
        text(json.dumps(small_result(), indent=1)),
        lambda p: (read_warm_start(p, DIGITS).subnets, read_pareto(p).content["points"]),
        150,
    ),
}
