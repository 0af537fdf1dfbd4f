"""Which channels of a network must be cut together: a union-find over the channels of every value.

A value's channels are spans of sets: what a convolution makes is a new set, a residual sum makes
two sets one, a concatenation puts spans behind each other. A set that an operation uses in a way
that has no rule here is frozen: it keeps all of its channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import lcm, prod
from typing import NamedTuple

from supernets.operations import ELEMENTWISE
from supernets.traced.calls import Call, NotUnderstood

Span = tuple[int, int]  # a set and how many channels each of its members stands for


class Layout(NamedTuple):
    """Where the channels of a value are: the dimension (the batch not counted), and their spans."""

    axis: int
    spans: tuple[Span, ...]


class Axis(NamedTuple):
    """One dimension of a weight, and the channels along it."""

    call: int
    tensor: str  # its name in the layer
    dim: int
    spans: tuple[Span, ...]


@dataclass
class Sets:
    """Sets of channels: size, the number of channels that stay together, whether it is frozen."""

    parent: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)

    def new(self, size: int, *, frozen: bool = False) -> int:
        self.parent.append(len(self.parent))
        self.size.append(size)
        self.unit.append(1)
        self.frozen.append(frozen)
        return len(self.parent) - 1

    def root(self, a: int) -> int:
        while self.parent[a] != a:
            self.parent[a] = a = self.parent[self.parent[a]]
        return a

    def join(self, a: int, b: int) -> None:
        a, b = self.root(a), self.root(b)
        self.parent[b] = a
        self.unit[a] = lcm(self.unit[a], self.unit[b])
        self.frozen[a] = self.frozen[a] or self.frozen[b]

    def freeze(self, spans: Sequence[Span]) -> None:
        for a, _ in spans:
            self.frozen[self.root(a)] = True

    def count(self, spans: Sequence[Span]) -> int:
        return sum(self.size[self.root(a)] * repeat for a, repeat in spans)


class Groups:
    """The layout of every value and every dimension of a weight that holds channels."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.sets = Sets()
        self.layouts: list[Layout] = []
        self.axes: list[Axis] = []
        for call in calls:
            rule = RULES.get(call.kind, _frozen)
            self.layouts.append(rule(self, call, [self.layouts[i] for i in call.inputs]))
        self.sets.freeze(self.layouts[-1].spans)  # classes

    # ---- for the rules -------------------------------------------------------------------------

    def shape(self, call: Call, i: int = 0) -> tuple[int, ...]:
        """Of an input."""
        return self.calls[call.inputs[i]].shape

    def fixed(self, call: Call, axis: int = 0) -> Layout:
        """All channels of a value, none of which can be cut."""
        return Layout(axis, ((self.sets.new(call.shape[axis], frozen=True), 1),))

    def freeze(self, layout: Layout) -> None:
        self.sets.freeze(layout.spans)

    def weigh(self, tensor: str, dim: int, layout: Layout) -> None:
        """Dimension `dim` of a weight of the current call has the channels of `layout`."""
        self.axes.append(Axis(len(self.layouts), tensor, dim, layout.spans))

    def tie(self, a: Layout, b: Layout) -> None:
        """Both have the same channels; frozen where their spans are of other sizes."""
        sizes = [[(self.sets.size[self.sets.root(s)], r) for s, r in x.spans] for x in (a, b)]
        if a.axis == b.axis and sizes[0] == sizes[1]:
            for (one, _), (other, _) in zip(a.spans, b.spans, strict=True):
                self.sets.join(one, other)
        else:
            self.freeze(a)
            self.freeze(b)


def _frozen(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    """What has no rule: nothing that it reads can be cut."""
    for layout in read:
        groups.freeze(layout)
    return groups.fixed(call)


def _same(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    return read[0]


def _conv(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    x, per_group = read[0], call.options["groups"]
    c_in, c_out = groups.shape(call)[0], call.shape[0]
    if x.axis != 0 or len(groups.shape(call)) != 3:
        raise NotUnderstood(f"{call.name}: a convolution of what are no channels")
    if per_group == 1:
        out = Layout(0, ((groups.sets.new(c_out), 1),))
        groups.weigh("weight", 1, x)
    elif per_group == c_in:  # depthwise: filters of a channel follow each other
        out = Layout(0, tuple((s, repeat * (c_out // c_in)) for s, repeat in x.spans))
    elif c_in == c_out and len(x.spans) == 1 and x.spans[0][1] == 1:
        root = groups.sets.root(x.spans[0][0])
        groups.sets.unit[root] = lcm(groups.sets.unit[root], c_in // per_group)
        out = x
    else:
        groups.freeze(x)
        out = groups.fixed(call)
    return _weighed(groups, call, out)


def _weighed(groups: Groups, call: Call, out: Layout) -> Layout:
    """All weights of a call have the channels of its output along their first dimension."""
    for name in call.weights:
        groups.weigh(name, 0, out)
    return out


def _linear(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    x, last = read[0], len(call.shape) - 1
    if x.axis != last:
        raise NotUnderstood(f"{call.name}: a linear layer of what are no channels, as of tokens")
    groups.weigh("weight", 1, x)
    return _weighed(groups, call, Layout(last, ((groups.sets.new(call.shape[-1]), 1),)))


def _norm(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    if read[0].axis != 0:
        return _frozen(groups, call, read)
    return _weighed(groups, call, read[0])


def _layer_norm(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    if read[0].axis != len(call.shape) - 1:
        groups.freeze(read[0])
        return groups.fixed(call, len(call.shape) - 1)
    return _weighed(groups, call, read[0])


def _factors(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    if read[0].axis != call.options["axis"]:
        groups.freeze(read[0])
        return groups.fixed(call, call.options["axis"])
    return _weighed(groups, call, read[0])


def _arithmetic(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    if len(read) == 1:
        return read[0]
    a, b = groups.shape(call, 0), groups.shape(call, 1)
    if len(a) != len(b) or read[0].axis != read[1].axis:
        return _frozen(groups, call, read)
    axis = read[0].axis
    if a[axis] == b[axis]:
        groups.tie(*read)
        return read[0]
    return read[1] if a[axis] == 1 else read[0]  # a map for all channels


def _concat(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    axis = read[0].axis
    if any(layout.axis != axis for layout in read):
        return _frozen(groups, call, read)
    if call.options["dim"] == axis:
        return Layout(axis, tuple(span for layout in read for span in layout.spans))
    for other in read[1:]:
        groups.tie(read[0], other)
    return read[0]


def _slice(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    x = read[0]
    if call.options["dim"] != x.axis:
        return x
    start, kept = 0, []
    for span in x.spans:
        stop = start + groups.sets.count([span])
        if call.options["start"] <= start and stop <= call.options["stop"]:
            kept.append(span)
        start = stop
    if groups.sets.count(kept) == call.options["stop"] - call.options["start"]:
        return Layout(x.axis, tuple(kept))
    groups.freeze(x)
    return groups.fixed(call, x.axis)


def _flatten(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    before = groups.shape(call)
    if read[0].axis != 0:
        return _frozen(groups, call, read)
    pixels = prod(before[1:])
    return Layout(0, tuple((s, repeat * pixels) for s, repeat in read[0].spans))


def _reshape(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    """Kept where the channels' dimension is whole before and after, as when others are merged."""
    before, after, axis = groups.shape(call), call.shape, read[0].axis
    for new in range(len(after)):
        same = after[new] == before[axis] and prod(after[:new]) == prod(before[:axis])
        if same and prod(after[new + 1 :]) == prod(before[axis + 1 :]):
            return Layout(new, read[0].spans)
    return _frozen(groups, call, read)


def _permute(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    return Layout(call.options["dims"].index(read[0].axis), read[0].spans)


def _reduce(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    axis, dims = read[0].axis, call.options["dims"]
    if axis in dims:
        return _frozen(groups, call, read)
    gone = 0 if call.options["keepdim"] else sum(dim < axis for dim in dims)
    return Layout(axis - gone, read[0].spans)


def _map(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    """Pooling, padding, resizing: of maps (C, H, W) alone."""
    if read[0].axis != 0 or len(call.shape) != 3:
        return _frozen(groups, call, read)
    return read[0]


def _pad(groups: Groups, call: Call, read: list[Layout]) -> Layout:
    if groups.shape(call)[0] != call.shape[0]:
        return _frozen(groups, call, read)
    return _map(groups, call, read)


RULES: dict[str, Callable[[Groups, Call, list[Layout]], Layout]] = {
    "image": lambda groups, call, read: groups.fixed(call),
    "conv": _conv,
    "linear": _linear,
    "norm": _norm,
    "layer_norm": _layer_norm,
    "factors": _factors,
    **dict.fromkeys(ELEMENTWISE, _same),
    **dict.fromkeys(("add", "sub", "mul", "div"), _arithmetic),
    "concat": _concat,
    "slice": _slice,
    "flatten": _flatten,
    "reshape": _reshape,
    "permute": _permute,
    **dict.fromkeys(("mean", "amax", "l2"), _reduce),
    **dict.fromkeys(("avg_pool", "max_pool", "adaptive_avg_pool", "interpolate"), _map),
    "pad": _pad,
}
