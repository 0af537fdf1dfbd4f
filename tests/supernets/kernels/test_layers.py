"""Kernels against torch's dense convolutions, for odd sizes, several images and threads."""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces import InputError
from supernets.kernels import KINDS, DepthwiseConv2d, jobs, layers, pack, translate
from supernets.kernels.plans import SparsePlan
from supernets.kernels.sparse import ALIGNED, IN_MEMORY
from supernets.kernels.translate import Processor
from tests.supernets.kernels.blocks import pruned

pytest.importorskip("llvmlite")


def check(layer: nn.Module, x: torch.Tensor) -> None:
    dense = layer.forward_dense(x)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            torch.testing.assert_close(layer(x), dense, rtol=1e-4, atol=1e-5)
        finally:
            torch.set_num_threads(1)


packed_layers = given(
    size=st.tuples(st.integers(4, 30), st.integers(2, 12), st.integers(3, 20), st.integers(3, 37)),
    taps=st.sampled_from([1, 3]),
    g=st.sampled_from([1, 3, 4]),
    stride=st.sampled_from([1, 2]),
    low=st.sampled_from([-np.inf, 0.0]),
)


def check_packed(size, taps, g, stride, low) -> None:
    rows, channels, height, width = size
    layer, weight = pruned(
        rows, channels, taps, g, sparsity=0.5, stride=stride, padding=taps // 2, low=low
    )
    assert np.array_equal(layer.packed.dense(), weight)
    check(layer, torch.randn(1 + rows % 2, channels, height, width))


@settings(max_examples=6)
@packed_layers
def test_a_packed_layer_equals_the_dense_one_with_zeros(size, taps, g, stride, low) -> None:
    check_packed(size, taps, g, stride, low)


@pytest.mark.slow
@settings(max_examples=300)
@packed_layers
def test_many_packed_layers_equal_dense_ones(size, taps, g, stride, low) -> None:
    check_packed(size, taps, g, stride, low)


@settings(max_examples=8)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 40)),
    taps=st.sampled_from([3, 5]),
    stride=st.sampled_from([1, 2]),
)
def test_a_depthwise_layer_equals_torch(size, taps, stride) -> None:
    channels, height, width = size
    weight, bias = torch.randn(channels, 1, taps, taps), torch.randn(channels)
    layer = DepthwiseConv2d(weight, bias, stride=stride, low=0.0, high=6.0)
    check(layer, torch.randn(2, channels, height, width))


@pytest.mark.parametrize(("walk", "method"), [(ALIGNED, "aligned"), (IN_MEMORY, "exact")])
def test_the_walks_of_the_comparison_compute_the_same(walk, method) -> None:
    layer, _ = pruned(method=method, walk=walk)
    x = torch.randn(1, 10, 8, 8)
    torch.testing.assert_close(layer(x), layer.forward_dense(x), rtol=1e-4, atol=1e-5)


def test_blocks_that_reach_over_the_border_of_two_threads_are_counted_once() -> None:
    layer, _ = pruned(64, 32, sparsity=0.3)
    check(layer, torch.randn(1, 32, 3, 3))  # one tile, so threads share the rows


def test_threads_write_no_row_behind_the_last_of_a_layer_without_blocks() -> None:
    """Their shares are whole blocks of rows, and 22 rows are five and a half."""
    empty = pack("layer", np.zeros((22, 5)), np.zeros((19, 5), dtype=bool), 4)
    plan = SparsePlan(empty, (1, 5, 3, 3), KINDS["avx2"], threads=2)
    ends = [call.numbers[3] for part in plan.parts for call in part]
    assert max(ends) == 22


def test_what_kernels_cannot_do_runs_dense() -> None:
    layer, _ = pruned()
    x = torch.randn(1, 10, 4, 4)
    assert layer(x.double()).dtype == torch.float64
    assert torch.equal(layer(x[0]), layer.forward_dense(x)[0])
    twice = DepthwiseConv2d(torch.randn(10, 1, 3, 3), torch.zeros(10))
    wanted = twice.forward_dense(x)
    assert torch.equal(twice.double()(x), wanted)
    assert layer(x.requires_grad_()).grad_fn is not None


def test_a_nan_stays_one() -> None:
    layer, _ = pruned(sparsity=0.0, low=0.0)
    x = torch.randn(1, 10, 4, 4)
    x[0, 0, 1, 1] = torch.nan
    assert torch.equal(layer(x).isnan(), layer.forward_dense(x).isnan())


def test_one_layer_serves_many_threads_and_copies_of_it() -> None:
    layer, _ = pruned(taps=3, padding=1)
    images = [torch.randn(1, 10, 9, 9) for _ in range(16)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(layer, images))
    twin = copy.deepcopy(layer)
    for x, y in zip(images, answers, strict=True):
        torch.testing.assert_close(y, layer.forward_dense(x), rtol=1e-4, atol=1e-5)
        assert torch.equal(twin(x), y)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_child_computes_with_threads_too(monkeypatch) -> None:
    layer, _ = pruned(64, 32)
    x = torch.randn(1, 32, 16, 16)
    wanted = layer.forward_dense(x)
    torch.set_num_threads(2)
    try:
        layer(x)
        child = os.fork()
        if not child:
            os._exit(0 if torch.allclose(layer(x), wanted, atol=1e-5) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        monkeypatch.setattr(jobs, "_openmp", lambda: None)  # Python's threads, elsewhere
        torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(1)


def test_without_llvmlite_the_same_weights_run_dense(monkeypatch) -> None:
    layer, _ = pruned()
    monkeypatch.setattr(layers, "llvm", lambda: None)
    x = torch.randn(1, 10, 4, 4)
    assert torch.equal(layer(x), layer.forward_dense(x))


def test_wrong_inputs_are_refused_by_the_layers_name() -> None:
    layer, _ = pruned(name="stage1.conv")
    with pytest.raises(InputError, match=r"stage1\.conv: inputs have 9 channels, weights 10"):
        layer(torch.randn(1, 9, 4, 4))
    with pytest.raises(InputError, match="dw: a depthwise layer needs odd square weights"):
        DepthwiseConv2d(torch.randn(3, 1, 2, 2), torch.zeros(3), name="dw")
    with pytest.raises(InputError, match="dw: 3 channels need as many biases, got \\(2,\\)"):
        DepthwiseConv2d(torch.randn(3, 1, 3, 3), torch.zeros(2), name="dw")
    with pytest.raises(InputError, match=r"stage1\.conv: inputs of 2x2 with padding 0 are smaller"):
        pruned(taps=3, name="stage1.conv")[0](torch.randn(1, 10, 2, 2))
    for x in (torch.zeros(1, 10, 4, 4, dtype=torch.uint8), np.zeros((1, 10, 4, 4), np.float32)):
        with pytest.raises(InputError, match=r"stage1\.conv: inputs must be a float tensor, got"):
            layer(x)


@pytest.mark.parametrize(("stride", "padding"), [(1, -1), (0, 0)])
def test_a_padding_below_zero_would_write_beside_the_memory(stride, padding) -> None:
    layer, _ = pruned()
    with pytest.raises(InputError, match="`stride` must be 1 or more and `padding` 0 or more, got"):
        layers.PackedConv2d(layer.packed, stride=stride, padding=padding)


@pytest.mark.parametrize("vector", [4, 8])
def test_narrower_vectors_and_fewer_registers_compute_the_same(vector, monkeypatch) -> None:
    known = translate.processor()
    if known.vector < vector or known.triple.startswith(("aarch64", "arm64")):
        pytest.skip("the code is for x86")
    older = Processor(known.triple, "haswell" if vector == 8 else "nehalem", "", vector, 16)
    for module in (translate, layers):
        monkeypatch.setattr(module, "processor", lambda: older)
    layer, _ = pruned(13, 10, taps=3, stride=2, padding=1, low=0.0)
    check(layer, torch.randn(2, 10, 11, 22))
    depthwise = DepthwiseConv2d(torch.randn(3, 1, 3, 3), torch.randn(3), stride=2)
    check(depthwise, torch.randn(1, 3, 11, 13))
