"""Calls of kernels as a table that machine code walks, on one thread or several.

A layer is one call from Python. Several threads are those of torch where it has GNU's OpenMP, so
that both share one pool, and Python's otherwise.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from supernets.kernels.plans import Call, Parts
from supernets.kernels.text import Code
from supernets.kernels.translate import address

WALK_LLVM = """
define void @serial(ptr %jobs, i64 %first, i64 %end, ptr %x, ptr %y, float %low, float %high) {
entry:
  %some = icmp ult i64 %first, %end
  br i1 %some, label %loop, label %out
loop:
  %i = phi i64 [ %first, %entry ], [ %next, %loop ]
  %job = getelementptr [4 x i64], ptr %jobs, i64 %i
  %kernel = load ptr, ptr %job
  %at1 = getelementptr i64, ptr %job, i64 1
  %args = load ptr, ptr %at1
  %at2 = getelementptr i64, ptr %job, i64 2
  %read = load i64, ptr %at2
  %at3 = getelementptr i64, ptr %job, i64 3
  %write = load i64, ptr %at3
  %xi = getelementptr i8, ptr %x, i64 %read
  %yi = getelementptr i8, ptr %y, i64 %write
  call void %kernel(ptr %args, ptr %xi, ptr %yi, float %low, float %high)
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %out
out:
  ret void
}

%team = type { ptr, ptr, ptr, ptr, float, float, i32, ptr, ptr }

define void @member(ptr %team) {
entry:
  %jobs_at = getelementptr %team, ptr %team, i64 0, i32 0
  %bounds_at = getelementptr %team, ptr %team, i64 0, i32 1
  %x_at = getelementptr %team, ptr %team, i64 0, i32 2
  %y_at = getelementptr %team, ptr %team, i64 0, i32 3
  %low_at = getelementptr %team, ptr %team, i64 0, i32 4
  %high_at = getelementptr %team, ptr %team, i64 0, i32 5
  %parts_at = getelementptr %team, ptr %team, i64 0, i32 6
  %id_at = getelementptr %team, ptr %team, i64 0, i32 7
  %size_at = getelementptr %team, ptr %team, i64 0, i32 8
  %jobs = load ptr, ptr %jobs_at
  %bounds = load ptr, ptr %bounds_at
  %x = load ptr, ptr %x_at
  %y = load ptr, ptr %y_at
  %low = load float, ptr %low_at
  %high = load float, ptr %high_at
  %parts = load i32, ptr %parts_at
  %get_id = load ptr, ptr %id_at
  %get_size = load ptr, ptr %size_at
  %id = call i32 %get_id()
  %size = call i32 %get_size()
  br label %check
check:
  %part = phi i32 [ %id, %entry ], [ %next, %run ]
  %mine = icmp slt i32 %part, %parts
  br i1 %mine, label %run, label %out
run:
  %first_at = getelementptr i64, ptr %bounds, i32 %part
  %end_at = getelementptr i64, ptr %first_at, i64 1
  %first = load i64, ptr %first_at
  %end = load i64, ptr %end_at
  call void @serial(ptr %jobs, i64 %first, i64 %end, ptr %x, ptr %y, float %low, float %high)
  %next = add i32 %part, %size
  br label %check
out:
  ret void
}

define void @parallel(ptr %team, ptr %start) {
entry:
  %parts_at = getelementptr %team, ptr %team, i64 0, i32 6
  %parts = load i32, ptr %parts_at
  call void %start(ptr @member, ptr %team, i32 %parts, i32 0)
  ret void
}
"""


def walk_text() -> str:
    """The code that walks a table."""
    return WALK_LLVM


WALK = Code(walk_text)
_forked = False  # GNU's OpenMP does not survive a fork


class _Team(ctypes.Structure):
    """What `member` reads; one for each call, so that a table can be walked from many threads."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("jobs", "bounds", "x", "y")),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
        ("parts", ctypes.c_int32),
        ("get_id", ctypes.c_void_p),
        ("get_size", ctypes.c_void_p),
    )


class Jobs:
    """The calls of one layer and shape, in as many parts as there are threads."""

    def __init__(self, parts: Parts) -> None:
        calls = [call for part in parts for call in part]
        self._keep = [(call.arrays, _arguments(call)) for call in calls]
        self._table = np.array(
            [
                (address(call.code), args.ctypes.data, call.read, call.write)
                for call, (_, args) in zip(calls, self._keep, strict=True)
            ],
            dtype=np.int64,
        )
        self._bounds = np.cumsum([0] + [len(part) for part in parts], dtype=np.int64)
        self._at, self._bounds_at = self._table.ctypes.data, self._bounds.ctypes.data
        self._n_jobs, self._n_parts = len(calls), len(parts)
        self._serial, self._parallel = _walks()

    def run(self, x: int, y: int, low: float, high: float) -> None:
        """Compute from the memory at address `x` into that at `y`."""
        if self._n_parts == 1:
            self._serial(self._at, 0, self._n_jobs, x, y, low, high)
            return
        openmp = None if _forked else _openmp()
        if openmp is None:
            bounds = self._bounds.tolist()
            calls = [
                _pool().submit(self._serial, self._at, first, end, x, y, low, high)
                for first, end in pairwise(bounds)
            ]
            for call in calls:
                call.result()
            return
        start, get_id, get_size = openmp
        team = _Team(self._at, self._bounds_at, x, y, low, high, self._n_parts, get_id, get_size)
        self._parallel(ctypes.addressof(team), start)


def _arguments(call: Call) -> np.ndarray[Any, np.dtype[np.int64]]:
    """What the kernel reads at `%args`."""
    return np.array([*(a.ctypes.data for a in call.arrays), *call.numbers], dtype=np.int64)


@cache
def _walks() -> tuple[Any, Any]:
    """`serial` and `parallel` as functions that release Python's lock."""
    pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    serial = ctypes.CFUNCTYPE(None, pointer, number, number, pointer, pointer, real, real)
    parallel = ctypes.CFUNCTYPE(None, pointer, pointer)
    return serial(address(WALK, "serial")), parallel(address(WALK, "parallel"))


@cache
def _openmp() -> tuple[int, int, int] | None:
    """GNU's functions that start a team and tell a member its number and the team's size."""
    import torch

    folder = Path(torch.__file__).parent
    for path in sorted(
        {*folder.glob("lib/libgomp*.so*"), *folder.parent.glob("torch.libs/libgomp*")}
    ):
        try:
            library = ctypes.CDLL(str(path))
            names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
            found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in names]
        except (OSError, AttributeError):
            continue
        return found[0] or 0, found[1] or 0, found[2] or 0
    return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="kernel")


def _in_child() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
