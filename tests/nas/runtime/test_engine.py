"""What ships to a board runs there alone: Python 3.8, numpy, nothing else of ours."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.runtime.engine import decide
from tests.alone import run_alone

RUNTIME = Path(__file__).parents[3] / "nas" / "runtime"
FILES = sorted(RUNTIME.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_boards_python_reads_it(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    future = [n.names[0].name for n in tree.body if isinstance(n, ast.ImportFrom)]
    if path.name != "__init__.py":  # new spellings of types are strings there
        assert "annotations" in future


def test_it_is_imported_with_everything_else_blocked(tmp_path: Path) -> None:
    shutil.copytree(RUNTIME, tmp_path / "runtime")
    blocked = {"nas", "supernets", "predictors", "search_spaces", "torch", "onnx", "onnxruntime"}
    blocked |= {"pandas", "pydantic", "typer", "rich", "scipy", "sklearn", "xgboost", "optuna"}
    code = "import runtime; print(runtime.read_manifest, runtime.Engine)"
    run_alone(code, f"top in {blocked}", tmp_path)


@given(seed=st.integers(0, 999), temperature=st.floats(0.3, 4))
def test_confidence_is_the_largest_probability(seed: int, temperature: float) -> None:
    import torch

    logits = np.random.default_rng(seed).normal(0, 8, (6, 5)).astype(np.float32)
    confidence, classes = decide(logits, temperature)
    wanted = (torch.from_numpy(logits) / temperature).softmax(1).max(1)
    np.testing.assert_allclose(confidence, wanted.values, rtol=1e-5)
    np.testing.assert_array_equal(classes, wanted.indices)
    assert confidence.dtype == np.float32
