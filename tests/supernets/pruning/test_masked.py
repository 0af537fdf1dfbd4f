"""Masked and compact: the same answers, in PyTorch and in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from nas.onnx.graph import segment_model
from search_spaces import InputError, RatioSpace, get_space
from supernets import ResNetSupernet, extract
from supernets.pruning.masked import MaskedSupernet
from tests.supernets.pruning.settled import settle
from tests.supernets.tiny import SPACE, images, supernet

SHARES = (1, 0.7, 0.35, 0.1)


@pytest.fixture(scope="module")
def settled() -> MaskedSupernet:
    return settle(MaskedSupernet(supernet(), SHARES))


def test_the_compact_network_answers_as_the_masked_one(settled: MaskedSupernet) -> None:
    net = settled.compact(settled.counts()).eval()
    for subnet in net.with_own_norms():
        with torch.no_grad():
            masked = settled(images(), settled.space.subnet([subnet["r"][0]]))
            plain = extract(net, subnet)
            torch.testing.assert_close(net(images(), subnet), masked, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(plain(images()), masked, atol=1e-5, rtol=1e-5)
            last = extract(net, subnet, heads=[net.space.n_exits]).fold().segments[0]
            model, _ = segment_model(last, images(1), last=True, half=False)  # type: ignore[arg-type]
        session = onnxruntime.InferenceSession(model.SerializeToString())
        for i in range(4):
            found = session.run(None, {"input": images(4)[i : i + 1].numpy()})[0]
            np.testing.assert_allclose(found[0], masked[-1][i].numpy(), atol=1e-5, rtol=1e-5)


def test_compacting_leaves_the_masked_network_as_it_was(settled: MaskedSupernet) -> None:
    before = {k: v.clone() for k, v in settled.state_dict().items()}
    settled.compact(settled.counts())
    assert all(torch.equal(v, before[k]) for k, v in settled.state_dict().items())


def test_at_ratio_1_it_is_the_dense_network() -> None:
    dense = supernet()
    masked = MaskedSupernet(dense, SHARES).eval()
    largest = dense.space.subnet(dense.space.largest)
    with torch.no_grad():
        torch.testing.assert_close(
            masked(images(), masked.by_ratio[1000]), dense(images(), largest)
        )


def test_without_ratio_1_what_nobody_keeps_is_dropped() -> None:
    masked = MaskedSupernet(supernet(), (0.4,))
    net = masked.compact(masked.counts())
    assert net.space.ratios == (400,)
    assert not len(net.own)
    assert net.stages[0][0].conv1.weight.shape[0] < 16  # type: ignore[index,union-attr]


def test_the_penalty_is_that_of_the_ratio_alone() -> None:
    masked = MaskedSupernet(supernet(), SHARES).train()
    full, small = masked.by_ratio[1000], masked.by_ratio[100]
    assert masked.penalty(full) == 0
    before = masked.penalty(small)
    masked.masks.steps[0].data += 0.5  # everything is pruned harder
    after = masked.penalty(small)
    assert isinstance(before, torch.Tensor)
    assert isinstance(after, torch.Tensor)
    assert after > before
    after.backward()  # type: ignore[no-untyped-call]
    grad = masked.masks.steps[0].grad
    assert grad is not None
    assert grad.sum() > 0  # a step down the gradient lowers the thresholds


def test_ratios_that_fall_to_nothing_name_the_layer() -> None:
    with pytest.raises(InputError, match=r"0\.001 removes the layer stem_norm of 16 channels"):
        MaskedSupernet(supernet(), (1, 0.001))


def test_a_stem_of_stride_2_keeps_what_the_first_stage_keeps() -> None:
    dense = ResNetSupernet(get_space("resnet-64x64x1-3"))  # type: ignore[arg-type]
    masked = MaskedSupernet(dense, (1, 0.3))
    assert "stages.0.0.norm2" not in masked.masks.names
    net = masked.compact(masked.counts()).eval()
    assert net(torch.zeros(1, 1, 64, 64), net.by_ratio[300])[-1].shape == (1, 3)


@pytest.mark.parametrize("width", [1, 4, 8])
def test_a_narrow_layer_is_left_by_the_least_ratio_that_is_chosen_for_a_device(width: int) -> None:
    """`--for-device` chooses among these: it would name ratios that nobody gave."""
    base = replace(SPACE, name="narrow", widths=((width,), *SPACE.widths[1:]))
    ratios = RatioSpace.evenly_pruned(base).ratios
    shares = (1, ratios[0] / 1000) if len(ratios) > 1 else (1,)
    assert MaskedSupernet(ResNetSupernet(base), shares).space.ratios[0] == ratios[0]
