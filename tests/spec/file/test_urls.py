"""URLs that a spec may name."""

import pytest

from hpo.spec.file.urls import is_url, without_secrets


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/model", True),
        ("https://host/t.csv", True),
        ("models/base", False),
        ("/models//base", False),
        ("1s3://bucket", False),
    ],
)
def test_a_url_has_a_scheme(path, expected):
    assert is_url(path) == expected
    assert without_secrets(path) == path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://me:secret@bucket/model", "holds a password or key, which others would see"),
        ("https://host/model?token=abc", "holds a password or key, which others would see"),
        ("zip://model::s3://bucket/all.zip", "is a URL within another: name the file alone"),
    ],
)
def test_a_url_that_shows_how_to_log_in_is_refused(url, message):
    with pytest.raises(ValueError, match=message):
        without_secrets(url)
