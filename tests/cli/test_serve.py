"""`hpo serve`: what it refuses before it loads a model. `tests/trained/serving` has the server."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--host", "", "--host '': is no address"),
        ("--seconds", "1e300", "less than or equal to 86400"),
    ],
)
def test_an_option_that_no_server_can_have_is_refused(hpo, option, value, told):
    result = hpo("serve", "model", option, value)
    assert result.code == 2
    assert told in result.err


def test_a_folder_without_a_model_is_refused(hpo, tmp_path):
    result = hpo("serve", str(tmp_path))
    assert result.code == 2
    assert result.err.startswith(f"{tmp_path}: has no model.json")
