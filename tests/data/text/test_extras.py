"""Libraries of the extra `text`."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from hpo.data.text.extras import imported, versions
from hpo.errors import DataError
from hpo.spec.sections.columns import Text


def test_a_library_that_is_not_installed_is_told_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(DataError) as error:
        imported("jieba", "tokens: jieba")
    assert str(error.value) == (
        "data.text.tokens: jieba needs jieba, which is not installed: run `pip install "
        "'hpo-lanes[text]'`."
    )


def test_a_library_that_warns_while_it_is_imported_is_imported(monkeypatch, tmp_path):
    (tmp_path / "warns_at_import.py").write_text("import warnings\nwarnings.warn('old')\nx = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert imported("warns_at_import", "tokens: jieba").x == 1


def test_data_depend_on_the_versions_of_the_libraries_that_make_them():
    pytest.importorskip("snowballstemmer", reason="the extra text is not installed")
    assert versions(Text()) == []
    assert versions(Text(reduce="stem")) == [metadata.version("snowballstemmer")]
