"""The records of `pareto.json` as types: what the keys are called, and what a value may be.

They are plain dictionaries, `point["latency_ms"]`; `nas.pareto.read` checks a file against them.
Fields that only some files have are `NotRequired`; `docs/reference.md` explains them all.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic needs it below Python 3.12
)

from pydantic import AfterValidator, Field, ValidationInfo
from typing_extensions import TypedDict

from search_spaces import ExitPolicy, Space

Objective = Literal[
    "top1_error_pct", "latency_ms", "energy_mj", "latency_worst_ms", "params"
]  # all minimised; those after the third only where a search asks for them
Quantity = Literal["latency_ms", "latency_worst_ms", "energy_mj"]  # what programs measure
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Pair = Annotated[list[Finite], Field(min_length=2, max_length=2)]


def _one_in_all(rates: list[float]) -> list[float]:
    """Every image leaves at one exit; a file rounds each share to four digits."""
    if abs(sum(rates) - 1) > 1e-3:
        raise ValueError(f"they add up to {sum(rates):.4g}, expected 1")
    return rates


def _is_policy(exits: Exits) -> Exits:
    ExitPolicy.from_dict(exits)
    return exits


def _is_subnet(text: str, info: ValidationInfo[Subnets]) -> str:
    if info.context is not None:
        info.context.check(text)
    return text


class Subnets:
    """The strings of a space's subnets; a result repeats them, so each is parsed once."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._parsed: set[str] = set()

    def check(self, text: str) -> None:
        """InputError where `text` is no subnet of the space."""
        if text not in self._parsed:
            self.space.parse(text)
            self._parsed.add(text)


ExitRates = Annotated[list[Share], Field(min_length=1), AfterValidator(_one_in_all)]
SubnetText = Annotated[str, AfterValidator(_is_subnet)]


class OwnClocks(TypedDict, total=False):
    """Clocks in MHz beside the one that names the level, where a search chose them."""

    cpu_mhz: Positive | None
    emc_mhz: Positive | None


class Exits(TypedDict):
    """The exits asked, from early to late, and the confidence at which an image leaves at each."""

    after: list[Count]
    thresholds: list[Share]


class Level(TypedDict):
    """The clocks of a DVFS level in MHz; 0 is the slowest. A clock that a device lacks is None."""

    level: Count
    gpu_mhz: Positive | None
    cpu_mhz: Positive | None
    emc_mhz: Positive | None
    power_mode: str | None


class Oracle(TypedDict):
    """The error if every image left at the first exit that is right: a limit, no accuracy."""

    top1_error_pct: Percent
    dissimilarity: list[Finite]  # of every exit asked and the last: what it alone gets right


class VerifiedAccuracy(TypedDict):
    """What real images said of a point."""

    top1_error_pct: Percent
    exit_rates: ExitRates
    error_se_pct: NotRequired[Percent]  # standard error: of a share of so many images
    n_images: Count
    split: str
    oracle: NotRequired[Oracle]


class VerifiedCost(TypedDict):
    """What a point costs by programs that were measured; no energy where the rows lack it."""

    latency_ms: Positive
    latency_worst_ms: Positive
    energy_mj: Positive | None
    source: str


class Point(OwnClocks):
    """A configuration: subnet, exits and clocks, what it costs, and where each figure is from.

    `latency_ms` and `energy_mj` are expected over the images, `latency_worst_ms` is the latency of
    an image that takes no early exit.
    """

    id: str
    level: Count
    subnet: SubnetText
    exits: Annotated[Exits, AfterValidator(_is_policy)]
    top1_error_pct: Percent
    error_source: str
    expected_error_pct: NotRequired[Percent]  # on images that chose nothing
    error_se_pct: NotRequired[Percent]  # standard error of that
    latency_ms: Positive
    latency_worst_ms: Positive
    latency_interval_ms: Pair | None  # 90 %
    latency_source: str
    energy_mj: Positive | None
    energy_source: str | None
    exit_rates: ExitRates  # at every exit of the space, the final classifier last
    macs: Count  # where no early exit is taken
    params: Count
    verified: NotRequired[VerifiedAccuracy | None]
    verified_cost: NotRequired[VerifiedCost]


class Baseline(Point):
    """The largest or the smallest subnet without early exits, at one level."""

    name: Literal["largest", "smallest"]
    launch_share: NotRequired[Share | None]  # of its time that kernel starts take


class ObjectiveEntry(TypedDict):
    """A cost that the search minimised."""

    name: Objective
    unit: NotRequired[str]


class DeviceEntry(TypedDict):
    """What the figures hold for."""

    name: str
    processor: str
    backend: str
    precision: str
    batch: Annotated[int, Field(ge=1)]
    power_mode: str | None
    latency_source: NotRequired[str]
    energy_source: NotRequired[str | None]
    rows_of: NotRequired[dict[str, str]]  # what rows of the target have otherwise: costs are those


class SupernetEntry(TypedDict):
    """The weights that all subnets share, or a table of accuracies that others published."""

    name: str
    sha256: str | None  # None: a table without weights
    dataset: str
    space: NotRequired[str]
    accuracies: NotRequired[str]  # whose they are, where the weights were not evaluated here
    checkpoint: NotRequired[str]  # the official weights that they are of


class Fallback(TypedDict):
    """What predicts instead of a proxy that is a no-go, or whose rows do not cover the clocks."""

    model: str
    srcc: Finite | None
    mape_pct: Finite


class PredictorEntry(TypedDict):
    """What target rows left out of the fit say of a proxy; None where they say nothing."""

    decision: Literal["go", "no-go"]
    proxy: NotRequired[str]
    n_proxy_rows: NotRequired[int]
    n_target_rows: NotRequired[int]
    srcc: NotRequired[Finite | None]
    srcc_interval: NotRequired[Annotated[list[Finite | None], Field(min_length=2, max_length=2)]]
    mape_pct: NotRequired[Finite]
    fallback: NotRequired[Fallback]


class TargetRow(TypedDict, total=False):
    """A measured or simulated program of the target, beside the model fitted to such rows."""

    subnet: str
    heads: str | None
    level: int | None
    gpu_mhz: Finite | None
    cpu_mhz: Finite | None
    latency_ms: Finite | None
    energy_mj: Finite | None
    source: str | None
    predicted_latency_ms: Finite | None
    predicted_energy_mj: Finite | None
    doubtful: str  # why the row does not count in the fit


class ProgressEntry(TypedDict):
    """The archive after a generation; the hypervolume is a mean over levels, as a share."""

    n_subnets: int
    n_points: int
    hypervolume: Finite


class WarmStartEntry(TypedDict):
    """The result that a search started from."""

    file: str
    n_subnets: int
    sha256: NotRequired[str]
    device: NotRequired[str]


class SearchEntry(TypedDict, total=False):
    """How the result was found."""

    n_subnets: int
    n_configurations: int
    front_sizes: list[int]  # of every level, before `points` was reduced
    bounds: dict[str, Any]  # those given, by their name in Python; `levels` lists the allowed ones
    warm_start: WarmStartEntry | None
    devices: list[str]
    progress: list[ProgressEntry]
    importance: dict[str, dict[str, Finite]]  # by objective, the share of every gene


class ReferenceEntry(TypedDict):
    """The reference point of the hypervolume, and the hypervolume of every level's points."""

    point: list[Finite]
    hypervolume: list[Finite]


class CostComparison(TypedDict):
    """How far one predicted quantity is from the verified one, over points.

    Errors are 100 x (predicted / verified - 1).
    """

    predicted_source: str
    n_points: int
    median_error_pct: Finite  # of absolute errors
    bias_pct: Finite  # the median with its sign
    worst_error_pct: Finite
    worst_point: str
    srcc: Finite | None
    n_in_interval: NotRequired[int]


class VerifiedCosts(TypedDict):
    """What measured programs said of all points; a quantity that the rows lack is None."""

    created: NotRequired[str]
    command: NotRequired[str]
    rows: NotRequired[str]
    source: str
    backend: str
    precision: str
    n_programs: int
    n_left_out: int
    decision_ms: Finite
    decision_source: str
    latency_ms: CostComparison | None
    latency_worst_ms: CostComparison | None
    energy_mj: CostComparison | None


class RatioChoice(TypedDict):
    """What the best K ratios of an All-in-One supernet hold over levels."""

    n_ratios: int
    ratios: Annotated[list[Finite], Field(min_length=1)]
    cv: Finite  # standard deviation of the latency over levels by its mean
    cv_spread_evenly: Finite | None  # about what ratios spread evenly leave
    variance_less: Finite | None  # times below that of the full network; None: nothing varies
    latency_ms: Pair  # least and most
    top1_error_pct: Pair


class ConstantLatency(TypedDict):
    """One latency at every clock, for every number of ratios; without early exits."""

    levels: Annotated[list[int], Field(min_length=1)]
    target_ms: Finite  # the full network at the fastest of them
    by_number_of_ratios: Annotated[list[RatioChoice], Field(min_length=1)]
    points: NotRequired[list[Point]]  # of every level: the ratio that comes nearest the target


class ParetoContent(TypedDict):
    """All of `pareto.json`."""

    schema: Literal["nas.pareto/1"]
    created: NotRequired[str]
    command: NotRequired[str]
    seed: NotRequired[int]
    versions: NotRequired[dict[str, str]]
    device: DeviceEntry
    space: str
    supernet: SupernetEntry | None  # None: the space comes with a table of accuracies alone
    objectives: list[ObjectiveEntry]
    search: NotRequired[SearchEntry]
    predictors: dict[str, PredictorEntry]  # by quantity
    target_rows: NotRequired[list[TargetRow]]
    reference: NotRequired[ReferenceEntry]
    levels: Annotated[list[Level], Field(min_length=1)]
    points: list[Point]
    baselines: list[Baseline]
    front: list[str]  # ids of points that no point of any level dominates
    constant_latency: NotRequired[ConstantLatency]  # of All-in-One supernets
    every_subnet: NotRequired[list[Point]]  # of spaces of few, such as groups: at a fast level
    verified_cost: NotRequired[VerifiedCosts]
    content_sha256: NotRequired[str]  # of all but created, command, versions
