"""The elastic basic block of a residual network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, Norm, Statistics
from supernets.static import ConvNorm, Residual


class ElasticBasicBlock(nn.Module):
    """Two 3x3 convolutions with an elastic inner width, and a shortcut (He et al., 2016)."""

    def __init__(self, c_in: int, mid: int, c_out: int, *, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = ElasticConv2d(c_in, mid, 3, stride=stride)
        self.norm1 = ElasticBatchNorm2d(mid)
        self.conv2 = ElasticConv2d(mid, c_out, 3)
        self.norm2 = ElasticBatchNorm2d(c_out)
        self.project = ElasticConv2d(c_in, c_out, 1, stride=stride) if project else None
        self.project_norm = ElasticBatchNorm2d(c_out) if project else None

    def forward(self, x: Tensor, mid: int, c_out: int, norm: Norm) -> Tensor:
        """Map (N, C, H, W) to (N, c_out, H / stride, W / stride) through `mid` channels."""
        y = F.relu(norm(self.norm1, self.conv1(x, mid)))
        y = norm(self.norm2, self.conv2(y, c_out))
        if self.project is not None and self.project_norm is not None:
            x = norm(self.project_norm, self.project(x, c_out))
        return F.relu(y + x)

    def static(self, c_in: int, mid: int, c_out: int, statistics: Statistics | None) -> Residual:
        """The plain block."""
        body = nn.Sequential(
            ConvNorm(self.conv1.static(c_in, mid), self.norm1.static(mid, statistics)),
            nn.ReLU(),
            ConvNorm(self.conv2.static(mid, c_out), self.norm2.static(c_out, statistics)),
        )
        shortcut = None
        if self.project is not None and self.project_norm is not None:
            norm = self.project_norm.static(c_out, statistics)
            shortcut = ConvNorm(self.project.static(c_in, c_out), norm)
        return Residual(body, shortcut, nn.ReLU())
