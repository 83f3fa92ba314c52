"""Passwords in the URLs of databases."""

import pytest

from hpo.spec.file.passwords import without_password, without_passwords


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db"),
        ("postgresql+psycopg://me:s%40c/r:et@host:5432/db", "postgresql+psycopg://me@host:5432/db"),
        ("postgresql://me:se@cret@host/db?a=1", "postgresql://me@host/db?a=1"),
        ("postgresql://me:sec?ret@host/db", "postgresql://me@host/db"),
        ("postgresql://:secret@host/db#study", "postgresql://@host/db#study"),
        ("postgresql://host/db?a=1&password=secret&b=2", "postgresql://host/db?a=1&b=2"),
        ("postgresql://host/db?sslPassword=secret#study", "postgresql://host/db#study"),
        (
            "postgresql://me@host/db?sslmode=require#study",
            "postgresql://me@host/db?sslmode=require#study",
        ),
        ("sqlite:////home/me:@x/hpo.db", "sqlite:////home/me:@x/hpo.db"),
        ("sqlite:///C:\\hpo.db", "sqlite:///C:\\hpo.db"),
        ("digits", "digits"),
        ("", ""),
    ],
)
def test_a_url_keeps_all_but_its_password(url, kept):
    assert without_password(url) == kept
    assert without_password(kept) == kept


def test_a_spec_keeps_all_but_its_passwords():
    spec = {
        "name": "digits",
        "search": {"from": ["digits", "postgresql://me:secret@host/db#study"], "trials": 3},
        "study": {"storage": "postgresql://me:secret@host/db", "checkpoint_seconds": 5},
    }

    assert without_passwords(spec) == {
        "name": "digits",
        "search": {"from": ["digits", "postgresql://me@host/db#study"], "trials": 3},
        "study": {"storage": "postgresql://me@host/db", "checkpoint_seconds": 5},
    }
    assert without_passwords({"study": {}, "search": None}) == {"study": {}, "search": None}
