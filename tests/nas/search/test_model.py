"""What is searched: accuracies of a supernet's folder, of a file, of a table in memory."""

import shutil

import numpy as np
import pytest

from nas.search import SearchSettings, search_devices
from nas.search.model import load_model
from nas.zoo.folder import supernet_folder
from predictors import AccuracyTable
from search_spaces import InputError, MobileNetV3Space, NASBench201Space, PolicyGrid
from tests.nas.synthetic import digits_space

SPACE = NASBench201Space(name="mine")
GENES = np.unique(SPACE.sample(60, np.random.default_rng(0)), axis=0)
GRID = PolicyGrid(0, ())
ERROR = 60 - 40 * GENES.sum(axis=1, keepdims=True) / SPACE.largest.sum()
TABLE = AccuracyTable(GENES, GRID, ERROR, np.ones((len(GENES), 1, 1)))


def settings(space, table):
    return SearchSettings("nano", "unused", space=space, accuracy_table=table)


def test_a_table_in_memory_goes_in_where_a_file_goes():
    model = load_model(settings(SPACE, TABLE))
    error, rates, measured = model.accuracy(GENES)
    assert measured.all()
    np.testing.assert_allclose(error, ERROR, rtol=1e-6)
    np.testing.assert_array_equal(rates, 1)
    assert (model.supernet, model.folder) == (None, None)


def test_a_table_of_another_space_is_refused():
    with pytest.raises(InputError, match="`accuracy_table` has 0 early exits, resnet-digits has"):
        load_model(settings(digits_space(), TABLE))
    with pytest.raises(InputError, match="6 genes, got 5"):
        load_model(settings(SPACE, AccuracyTable(GENES[:, :5], GRID, ERROR, TABLE.exit_rate)))


def test_a_run_is_known_by_what_its_table_holds():
    def fingerprint(table):
        return settings(SPACE, table).fingerprint()["accuracy_table"]

    same = AccuracyTable(GENES.copy(), GRID, ERROR.copy(), TABLE.exit_rate)
    assert fingerprint(TABLE) == fingerprint(same)
    assert fingerprint(TABLE) != fingerprint(TABLE[np.arange(len(GENES) - 1)])
    assert fingerprint(TABLE) != fingerprint(AccuracyTable(GENES, GRID, ERROR + 1, same.exit_rate))


def test_a_folder_whose_table_belongs_to_other_weights_is_refused(tmp_path):
    folder = shutil.copytree(supernet_folder("auto"), tmp_path / "net")
    model = load_model(SearchSettings("nano", "unused", supernet=str(folder)))
    assert model.supernet is not None
    assert model.supernet["name"] == str(folder)  # `nas export` finds it from anywhere
    assert model.supernet["sha256"] == model.accuracy.table.supernet_sha256
    (folder / "predictor").rename(tmp_path / "predictor")
    with pytest.raises(InputError, match="was not evaluated to the end: `nas supernet evaluate"):
        load_model(SearchSettings("nano", "unused", supernet=str(folder)))
    from supernets import load_supernet, save_supernet

    supernet, metadata = load_supernet(folder / "weights.safetensors")
    next(iter(supernet.parameters())).data.add_(1)
    save_supernet(supernet, folder / "weights.safetensors", **metadata)
    with pytest.raises(InputError, match="its accuracy table belongs to other weights"):
        load_model(SearchSettings("nano", "unused", supernet=str(folder)))


def test_one_network_is_nothing_to_search(tmp_path):
    space = MobileNetV3Space(resolutions=(224,))
    space = space.specialised(space.subnet(space.smallest))
    table = AccuracyTable(space.largest, GRID, np.full((1, 1), 30.0), np.ones((1, 1, 1)))
    asked = SearchSettings("nano", str(tmp_path / "run"), space=space, accuracy_table=table)
    with pytest.raises(InputError, match="is one network: there is nothing to search"):
        search_devices(asked)
    assert not (tmp_path / "run").exists()
