"""The records of `manifest.json` (`nas.manifest/1`) as types; `docs/reference.md` explains them.

They are plain dictionaries, `configuration["thresholds"]`. The second class of a pair adds what
only some manifests have.
"""

from __future__ import annotations

from typing import Any, TypedDict


class PlainConfiguration(TypedDict):
    """A subnet with its exits at one level: what it costs, and where each figure is from."""

    id: str
    level: int
    network: str
    after: list[int]  # the exits asked, from early to late
    thresholds: list[float]  # the confidence at which an image leaves at each of them
    top1_error_pct: float
    error_source: str
    latency_ms: float  # expected
    latency_worst_ms: float  # no early exit taken
    latency_source: str
    energy_mj: float | None
    energy_source: str | None
    exit_rates: list[float]  # at every exit of the space, the final classifier last
    macs: int
    params: int


class Configuration(PlainConfiguration, total=False):
    """A configuration with clocks in MHz of its own, where they were searched."""

    cpu_mhz: float | None
    emc_mhz: float | None


class PlainNetwork(TypedDict):
    """A chain of segments, one an exit."""

    subnet: str
    exits: list[int]  # the final classifier last
    temperatures: list[float]  # one an exit
    segments: list[str]  # files in order


class NetworkEntry(PlainNetwork, total=False):
    """The same, and where its batch-norm statistics come from: `measured` or `predicted`."""

    statistics: str


class InputEntry(TypedDict):
    """How images become inputs; None where the weights do not say."""

    mean: list[float] | None  # one a channel, of pixels scaled to [0, 1]
    std: list[float] | None
    classes: list[str] | None
    dtype: str
    layout: str


class PlainFile(TypedDict):
    """A file of the folder."""

    sha256: str
    bytes: int


class FileEntry(PlainFile, total=False):
    """A file of the folder; the rest is of graphs."""

    input: list[int]  # shape without the batch
    outputs: list[str]
    weight_bytes: int  # of its weights, where they are outside


class SharedEntry(TypedDict):
    """Files that the graphs take their weights from."""

    weights: str  # the supernet's own file, safetensors
    statistics: str  # batch norm by subnet, safetensors: (2, C) means and variances of all layers
    slices: str  # how each weight comes from both, `nas.slices/1`


class VerifiedEntry(TypedDict):
    """What ONNX Runtime said of the written files."""

    runtime: str
    images: str
    n_images: int
    max_logit_difference: float
    decisions: int
    equal_decisions: int
    source: str


class VerifiedKernels(VerifiedEntry, total=False):
    """The same with kernels, or in int8: then mean errors of the configurations on the images."""

    kernels_max_logit_difference: float
    fp32_top1_error_pct: float
    top1_error_pct: float


class PlainManifest(TypedDict):
    """`manifest.json` as every version wrote it."""

    schema: str
    command: str
    versions: dict[str, str]
    opset: int
    precision: str
    supernet: dict[str, Any]  # as in pareto.json
    device: dict[str, Any]
    levels: list[dict[str, Any]]
    input: InputEntry
    networks: dict[str, NetworkEntry]
    configurations: list[Configuration]
    files: dict[str, FileEntry]


class ManifestContent(PlainManifest, total=False):
    """`manifest.json`; `governing` is what `nas.runtime.table` reads."""

    governing: dict[str, Any] | None
    not_governed: str  # why nothing can govern it
    shared: SharedEntry  # absent where every graph has its weights inside
    not_shared: str  # why some have
    kernels: str  # the file with what pruned networks run with, `nas.kernels/1`
    no_kernels: str  # why some of them have none
    traces: dict[str, Any]
    verified: VerifiedKernels
    content_sha256: str  # of all the rest, `nas.runtime.checks`
