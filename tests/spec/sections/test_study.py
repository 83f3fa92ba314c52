"""The section `study` of a spec."""

import pytest

from tests.spec.samples import loaded


@pytest.mark.parametrize(
    "url",
    ["sqlite:////tmp/a b.db", "sqlite+pysqlite:///~/x.db", "postgresql+psycopg://u:p@host/db"],
)
def test_any_database_url_is_a_storage(tmp_path, url):
    assert loaded(tmp_path, f"study: {{storage: '{url}'}}").study.storage == url
