"""Translated code of the tests lies in a folder of theirs, not in the user's."""

import pytest


@pytest.fixture(autouse=True, scope="package")
def kernel_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "nas" / "kernels"
