"""`nas search` as a function: one call from the devices' names to the files of a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import optuna
from optuna.trial import TrialState

from nas.devices import Device, serving
from nas.files import same_file, sha256_of, without_password
from nas.pareto import ParetoTable
from nas.samplers.domain import distributions
from nas.search.folder import RunFolder, claim
from nas.search.front.archive import Archive
from nas.search.front.best_measured import best_measured
from nas.search.front.shared_set import SharedContent, shared, write_shared
from nas.search.images.verify_accuracy import check_data, verify
from nas.search.instant import instant_archive
from nas.search.listener import Listener, Silent
from nas.search.model import Model, load_model
from nas.search.result import result_table, write_overview, write_result
from nas.search.score.feasibility import check_feasible
from nas.search.score.scorer import Accuracy
from nas.search.settings import CONTENT, SearchSettings
from nas.search.study.open import note_value_levels, open_study
from nas.search.study.samplers import in_batches, sampler_of
from nas.search.study.search import search_study
from nas.search.study.warm_start import WarmStart, read_warm_start, warm_start
from nas.search.target_rows import as_measured, planned_rows, target_rows
from nas.search.targets import Targets, find_devices, fit_target
from nas.transfer.proxy import Proxy, load_proxy
from nas.words import counted
from search_spaces import Genes, InputError, Row


def run_search(
    settings: SearchSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> ParetoTable:
    """Search for one device and write `pareto.json`, `pareto.csv`, `report.html` and the study.

    Raises InputError for whatever the user can mend; `out` then holds no half-written result.
    """
    tables, _ = search_devices(settings, resume=resume, overwrite=overwrite, listener=listener)
    return tables[0]


def search_devices(
    settings: SearchSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> tuple[list[ParetoTable], SharedContent | None]:
    """One search for all devices: the result of each, and what they share (None for one device).

    The files of one device are in `out`; those of several are in a folder each, beside
    `shared.json` and a `report.html` of them all. Raises InputError for whatever the user can mend.
    """
    listener = listener or Silent()
    devices = find_devices(settings)
    model = load_model(settings)
    devices = [serving(device, model.space) for device in devices]
    if model.told:
        listener.stage(model.told)
    check_data(model, settings.data)
    if model.folder is not None and same_file(model.folder, settings.folder):
        raise InputError(f"`out` is the folder of the supernet, {settings.folder}; name another")
    _check_space(model)
    sampler = sampler_of(settings, model.space)
    proxy = load_proxy(model.space, settings.proxy, model.measured_as)
    listener.stage(f"proxy {proxy.name}: {proxy.described(model.measured_as)}")
    _say_own(proxy, devices, listener)
    fingerprint = settings.fingerprint() | {"weights": model.supernet and model.supernet["sha256"]}
    fingerprint[CONTENT + "accuracies"] = model.accuracy.table.sha256
    names = [device.name for device in devices]
    with claim(
        settings.folder,
        fingerprint,
        resume=resume,
        overwrite=overwrite,
        devices=names,
        extent=settings.extent(),
    ) as folder:
        resumed = folder.started
        if resume and not resumed:
            listener.stage(f"{settings.folder} holds no run to go on with: a new one")
        targets, first = _targets(settings, model, devices, proxy, folder, listener)
        search = fingerprint | {"target_rows": [sha256_of(path) for path in folder.rows.values()]}
        open_ = partial(
            open_study,
            settings.storage,
            folder.journal,
            sampler,
            name=settings.study,
            search=search,
            objectives=settings.objectives,
            parameters=distributions(model.space),
            overwrite=overwrite,
        )
        # a study of another search is refused before the folder changes; its own starts with it
        early = (settings.storage or resumed) and not settings.instant
        study = open_() if early else None
        if resumed and study is not None:
            _check_no_fewer(settings, folder.n_trials, study)
        with _accuracy(settings, model, folder, listener) as accuracy:
            targets = targets.with_accuracy(accuracy)
            if study is None and not settings.instant:
                study = open_()
            if resumed and study is not None and not study.get_trials(deepcopy=False):
                where = without_password(settings.storage or str(folder.journal))
                listener.stage(f"{where} holds no trials to go on with: they begin anew")
            archive, warm = _archive(settings, model, targets, study, first, listener)
            parts = targets.archives(archive)
            _check_found(settings, targets, parts)
            listener.stage("result")
            if study is not None and _is_exhausted(settings, archive):
                listener.stage(f"all {counted(archive.n_subnets, 'subnet')} of the space")
            tables = [
                result_table(settings, model, target, part, warm)
                for target, part in zip(targets.targets, parts, strict=True)
            ]
            content = _shared(targets, parts, listener)
        for target, table in zip(targets.targets, tables, strict=True):
            if settings.data is not None:
                listener.stage("verify on test images")
                verify(table, model, settings.data)
            write_result(table, folder.homes[target.name])
        if content is not None:
            write_overview(tables, list(folder.homes.values()), settings.folder)
            write_shared(content, settings.folder)
    return tables, content


def _check_space(model: Model) -> None:
    """InputError where there is nothing to choose."""
    if all(len(values) == 1 for values in model.space.choices):
        raise InputError(
            f"{model.space.name} is one network: there is nothing to search; `nas supernet points` "
            "says what it costs at every clock"
        )


def _check_no_fewer(settings: SearchSettings, before: object, study: optuna.Study) -> None:
    """InputError: the result would get smaller than that of the run `before`.

    A study that is shared may hold more trials than the run had asked for.
    """
    held = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    if settings.n_trials < (min(held, before) if isinstance(before, int) else held):
        raise InputError(
            f"{settings.folder} holds {held} trials, {settings.n_trials} asked; ask for {held} or "
            "more with `n_trials`, or choose another `out`"
        )


def _targets(
    settings: SearchSettings,
    model: Model,
    devices: Sequence[Device],
    proxy: Proxy,
    folder: RunFolder,
    listener: Listener,
) -> tuple[Targets, list[Genes]]:
    """The devices with their costs, and of each the subnets that were found to meet the bounds.

    InputError for what cannot be searched: bounds out of reach, a warm start of another space.
    """
    rows = target_rows(settings, model.space, devices, proxy, folder.rows, listener.stage)
    devices = list(map(as_measured, devices, rows))
    targets = Targets(
        [fit_target(settings, model, *pair, proxy) for pair in zip(devices, rows, strict=True)]
    )
    for target in targets.targets:
        for words in target.costs.doubtful.values():
            listener.stage(
                f"warning: a row of {target.name} is not counted: {words}; measure it again "
                "(`nas measure --of PLAN --out ROWS --redo-noisy`)"
            )
        for line in target.costs.advice(target.name):
            listener.stage(line)
    first = [
        check_feasible(target.problem, settings.seed, target.name if settings.others else "")
        for target in targets.targets
    ]
    if settings.warm_start is not None and not folder.started:
        read_warm_start(settings.warm_start, model.space)
    return targets, first


@contextmanager
def _accuracy(
    settings: SearchSettings, model: Model, folder: RunFolder, listener: Listener
) -> Iterator[Accuracy]:
    """The table and its predictor, or the images; the run starts once nothing is refused."""
    if not settings.evaluate:
        folder.start()
        yield model.accuracy
        return
    from nas.search.images.log import image_accuracy

    with image_accuracy(settings, model, folder, listener) as accuracy:
        yield accuracy


def _archive(
    settings: SearchSettings,
    model: Model,
    targets: Targets,
    study: optuna.Study | None,
    first: list[Genes],
    listener: Listener,
) -> tuple[Archive, WarmStart | None]:
    """Everything that was searched, and the warm start; or proposals.

    A search begins with `first`, the warm start, and the best of the subnets that were measured.
    """
    if study is None:
        (target,) = targets.targets
        return instant_archive(settings, model, target, listener), None
    warm = warm_start(settings, study, model.space, listener)
    note_value_levels(study, targets.middle_levels(), settings.storage)
    problem, batches = targets.problem(), in_batches(study.sampler)
    population = settings.population if batches is None else batches.size(0)
    best = best_measured(model.accuracy.table.genes, problem, population // 2)
    begin = [*first, *([warm.genes(model.space)] if warm else []), best]
    return search_study(settings, study, problem, begin, listener), warm


def _say_own(proxy: Proxy, devices: Sequence[Device], listener: Listener) -> None:
    """A remark where rows of a board stand in for a proxy of it: they would say more as its own."""
    name = proxy.name.partition(" (")[0]
    if proxy.n_rows and name != "host" and name in [device.name for device in devices]:
        listener.stage(
            f"warning: the proxy's rows are of {name} itself; rows measured on the target are "
            "taken as such by --measurements"
        )


def _check_found(settings: SearchSettings, targets: Targets, parts: Sequence[Archive]) -> None:
    """InputError where nothing of a device meets its bounds."""
    for target, part in zip(targets.targets, parts, strict=True):
        if not part.n_points:
            where = f" on {target.name}" if settings.others else ""
            more = "search without `instant`" if settings.instant else "give more `trials`"
            raise InputError(
                f"no configuration of {part.n_subnets} subnets meets all bounds together{where}: "
                f"the closest one exceeds a bound by {100 * part.least[0]:.1f} %; "
                f"relax one of them, or {more}"
            )


def _is_exhausted(settings: SearchSettings, archive: Archive) -> bool:
    """Whether a search ended because the space has no other subnets."""
    return settings.patience is None and archive.n_subnets < settings.n_trials


def _shared(targets: Targets, parts: Sequence[Archive], listener: Listener) -> SharedContent | None:
    """What several devices have in common."""
    if len(parts) == 1:
        return None
    listener.stage("shared subnets")
    return shared(targets.problem(), parts, targets.names)


def plan_search(settings: SearchSettings) -> list[Row]:
    """The rows of a plan: what to measure on the target, or on each of several."""
    model = load_model(settings)
    proxy = load_proxy(model.space, settings.proxy, model.measured_as)
    return [
        row
        for device in find_devices(settings)
        for row in planned_rows(settings, model.space, serving(device, model.space), proxy)
    ]
