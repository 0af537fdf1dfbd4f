"""Measuring: what to measure, the table it goes into, and how far its rows can be trusted."""

from nas.called import call_package
from nas.measure.jobs import (
    GIVE_UP,
    Job,
    Run,
    check_sources,
    measure_rows,
    one_by_one,
    operator_jobs,
    program_jobs,
    programs,
    row_key,
    unique_operators,
)

__all__ = [
    "GIVE_UP",
    "Job",
    "Run",
    "check_sources",
    "measure_rows",
    "one_by_one",
    "operator_jobs",
    "program_jobs",
    "programs",
    "row_key",
    "unique_operators",
]

call_package(__name__)
