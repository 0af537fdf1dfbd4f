"""Published networks as operators, for comparing the device model with published latencies.

A filter of 1 x 7 counts as a square one with as many weights. Branches run one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from search_spaces import Operators
from search_spaces.operators import Slot


class Tape:
    """Operators in order; `c` channels and `side` pixels are what the next one reads."""

    def __init__(self, side: int, c: int = 3) -> None:
        self.slots: list[Slot] = []
        self.c, self.side = c, side

    def conv(self, out: int, kernel: float, stride: int = 1, *, residual: bool = False) -> None:
        after = -(-self.side // stride)
        self._add("conv", out, kernel, after, residual=residual)

    def depthwise(self, kernel: int, stride: int = 1) -> None:
        self._add("depthwise", self.c, kernel, -(-self.side // stride))

    def pool(self, kernel: int, stride: int) -> None:
        self._add("pool", self.c, kernel, -(-self.side // stride))

    def scale(self) -> None:
        self._add("scale", self.c, 1, self.side)

    def linear(self, out: int) -> None:
        self.c, self.side = self.c * self.side**2, 1
        self._add("linear", out, 1, 1)

    def squeeze_excite(self, ratio: int = 4, *, of: int | None = None) -> None:
        """Global mean, two small layers, a factor per channel (Hu et al., 2018)."""
        c, side = self.c, self.side
        self.pool(side, side)
        self.linear(max(8, (of or c) // ratio))
        self.linear(c)
        self.side = side
        self.scale()

    def branches(self, *paths: Sequence[tuple[int, float]], stride: int = 1) -> None:
        """Paths of (channels, kernel) from the same input, concatenated; the last one strides."""
        c, side, out, after = self.c, self.side, 0, self.side
        for path in paths:
            self.c, self.side = c, side
            for i, (channels, kernel) in enumerate(path):
                self.conv(channels, kernel, stride if i == len(path) - 1 else 1)
            out, after = out + self.c, self.side
        self.c, self.side = out, after

    def stacked(self) -> Operators:
        return Operators.stack(self.slots)

    def _add(
        self, kind: str, out: int, kernel: float, after: int, *, residual: bool = False
    ) -> None:
        self.slots.append(Slot(kind, 0, self.c, out, kernel, self.side, after, residual))  # type: ignore[arg-type]
        self.c, self.side = out, after


def vgg19() -> Operators:
    """Simonyan and Zisserman, 2015."""
    net = Tape(224)
    for width, n in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(n):
            net.conv(width, 3)
        net.pool(2, 2)
    for width in (4096, 4096, 1000):
        net.linear(width)
    return net.stacked()


def resnet(blocks: Sequence[int], *, bottleneck: bool) -> Operators:
    """He et al., 2016; the stride is in the 3 x 3 convolution."""
    net = Tape(224)
    net.conv(64, 7, 2)
    net.pool(3, 2)
    for stage, n in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for b in range(n):
            stride, c, side = 2 if b == 0 and stage else 1, net.c, net.side
            if c != out:
                net.conv(out, 1, stride)
                net.c, net.side = c, side
            if bottleneck:
                net.conv(width, 1)
                net.conv(width, 3, stride)
                net.conv(out, 1, residual=True)
            else:
                net.conv(out, 3, stride)
                net.conv(out, 3, residual=True)
    net.pool(7, 7)
    net.linear(1000)
    return net.stacked()


def densenet121() -> Operators:
    """Huang et al., 2017; batch norm and ReLU before a convolution are an operator of their own."""
    net = Tape(224)
    net.conv(64, 7, 2)
    net.pool(3, 2)
    for stage, n in enumerate((6, 12, 24, 16)):
        for _ in range(n):
            c = net.c
            net.scale()
            net.conv(128, 1)
            net.conv(32, 3)
            net.c = c + 32
            net.pool(1, 1)  # the concatenation is copied
        if stage < 3:
            net.scale()
            net.conv(net.c // 2, 1)
            net.pool(2, 2)
    net.pool(7, 7)
    net.linear(1000)
    return net.stacked()


def inverted_residual(
    net: Tape, out: int, kernel: int, stride: int, expanded: int, se: bool, *, ratio: int = 4
) -> None:
    c, side = net.c, net.side
    if expanded != c:
        net.conv(expanded, 1)
    net.depthwise(kernel, stride)
    if se:
        net.squeeze_excite(ratio, of=expanded if ratio == 4 else c)
    net.conv(out, 1, residual=c == out and net.side == side)


def mobilenet_v2(side: int = 224) -> Operators:
    """Sandler et al., 2018."""
    net = Tape(side)
    net.conv(32, 3, 2)
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for expand, out, n, stride in (*rows, (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(n):
            inverted_residual(net, out, 3, stride if i == 0 else 1, net.c * expand, se=False)
    net.conv(1280, 1)
    net.pool(net.side, net.side)
    net.linear(1000)
    return net.stacked()


def mobilenet_v3() -> Operators:
    """MobileNetV3-Large: Howard et al., 2019, table 1."""
    net = Tape(224)
    net.conv(16, 3, 2)
    for kernel, expanded, out, se, stride in (
        (3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2),
        (5, 120, 40, 1, 1), (5, 120, 40, 1, 1), (3, 240, 80, 0, 2), (3, 200, 80, 0, 1),
        (3, 184, 80, 0, 1), (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1),
        (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1),
    ):  # fmt: skip
        inverted_residual(net, out, kernel, stride, expanded, bool(se))
    net.conv(960, 1)
    net.pool(7, 7)
    net.linear(1280)
    net.linear(1000)
    return net.stacked()


def efficientnet_b0() -> Operators:
    """Tan and Le, 2019, table 1; squeeze and excitation by 4 of a block's input."""
    net = Tape(224)
    net.conv(32, 3, 2)
    for expand, out, n, stride, kernel in (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    ):  # fmt: skip
        for i in range(n):
            at = stride if i == 0 else 1
            inverted_residual(net, out, kernel, at, net.c * expand, se=True, ratio=4)
    net.conv(1280, 1)
    net.pool(7, 7)
    net.linear(1000)
    return net.stacked()


def ssd_mobilenet_v1() -> Operators:
    """MobileNetV1 at 300 px with the six heads of SSD (Howard et al., 2017; Liu et al., 2016)."""
    net = Tape(300)
    net.conv(32, 3, 2)
    heads = []
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    for out, stride in rows:
        net.depthwise(3, stride)
        net.conv(out, 1)
    heads.append((net.c, net.side, 3))
    for out, stride in ((1024, 2), (1024, 1)):
        net.depthwise(3, stride)
        net.conv(out, 1)
    heads.append((net.c, net.side, 6))
    for width, out in ((256, 512), (128, 256), (128, 256), (64, 128)):
        net.conv(width, 1)
        net.conv(out, 3, 2)
        heads.append((net.c, net.side, 6))
    for c, side, boxes in heads:
        for values in (4, 91):
            net.c, net.side = c, side
            net.conv(boxes * values, 1)
    return net.stacked()


def inception_v3() -> Operators:
    """Szegedy et al., 2016, at 299 px (padding as if every side were rounded up)."""
    net = Tape(299)
    for out, kernel, stride in ((32, 3, 2), (32, 3, 1), (64, 3, 1)):
        net.conv(out, kernel, stride)
    net.pool(3, 2)
    net.conv(80, 1)
    net.conv(192, 3)
    net.pool(3, 2)
    net.side = 35
    for pooled in (32, 64, 64):
        net.branches([(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [(pooled, 1)])
    _reduce(net, 17, [(384, 3)], [(64, 1), (96, 3), (96, 3)])
    seven = 7**0.5
    for c in (128, 160, 160, 192):
        long = [(c, 1), (c, seven), (c, seven), (c, seven), (192, seven)]
        net.branches([(192, 1)], [(c, 1), (c, seven), (192, seven)], long, [(192, 1)])
    _reduce(net, 8, [(192, 1), (320, 3)], [(192, 1), (192, seven), (192, seven), (192, 3)])
    three = 3**0.5
    for _ in range(2):
        net.branches([(320, 1)], [(384, 1), (768, three)],
                     [(448, 1), (384, 3), (768, three)], [(192, 1)])  # fmt: skip
    net.pool(8, 8)
    net.linear(1000)
    return net.stacked()


def inception_v4() -> Operators:
    """Szegedy et al., 2017, at 299 px."""
    net = Tape(299)
    for out, kernel, stride in ((32, 3, 2), (32, 3, 1), (64, 3, 1)):
        net.conv(out, kernel, stride)
    _reduce(net, 73, [(96, 3)])
    seven, three = 7**0.5, 3**0.5
    net.branches([(64, 1), (96, 3)], [(64, 1), (64, seven), (64, seven), (96, 3)])
    _reduce(net, 35, [(192, 3)])
    for _ in range(4):
        net.branches([(96, 1)], [(96, 1)], [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)])
    _reduce(net, 17, [(384, 3)], [(192, 1), (224, 3), (256, 3)])
    for _ in range(7):
        long = [(192, 1), (192, seven), (224, seven), (224, seven), (256, seven)]
        net.branches([(128, 1)], [(384, 1)], [(192, 1), (224, seven), (256, seven)], long)
    _reduce(net, 8, [(192, 1), (192, 3)], [(256, 1), (256, seven), (320, seven), (320, 3)])
    for _ in range(3):
        net.branches([(256, 1)], [(256, 1)], [(384, 1), (512, three)],
                     [(384, 1), (448, three), (512, three), (512, three)])  # fmt: skip
    net.pool(8, 8)
    net.linear(1000)
    return net.stacked()


def _reduce(net: Tape, side: int, *paths: Sequence[tuple[int, float]]) -> None:
    """Branches that halve the side, and a pooling of the input beside them."""
    c = net.c
    net.branches(*paths, stride=2)
    out, net.c, net.side = net.c, c, 2 * side
    net.pool(3, 2)
    net.c, net.side = out + c, side


NETWORKS: dict[str, Callable[[], Operators]] = {
    "vgg19": vgg19,
    "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
    "resnet50": lambda: resnet((3, 4, 6, 3), bottleneck=True),
    "densenet121": densenet121,
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v2_300": lambda: mobilenet_v2(300),
    "mobilenet_v3": mobilenet_v3,
    "efficientnet_b0": efficientnet_b0,
    "ssd_mobilenet_v1": ssd_mobilenet_v1,
    "inception_v3": inception_v3,
    "inception_v4": inception_v4,
}
