"""Traces of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.errors import HpoError
from tests.study.whole import Studies, an_experiment


def test_a_profile_without_an_epoch_says_so_and_a_file_in_its_place_is_refused(
    tmp_path: Path, compile_cache: Path
) -> None:
    studies = Studies(tmp_path, compile_cache)
    (tmp_path / "file").touch()
    with pytest.raises(HpoError, match=r"--profile .*file: cannot be made \(File exists\): give"):
        studies.run(an_experiment(), profile=tmp_path / "file")
    with pytest.raises(HpoError, match=r"data\.batch_size: 500 is larger"):
        studies.run(an_experiment("data.batch_size=500"), profile=tmp_path / "trace")
    assert studies.said == [
        f"--profile {tmp_path / 'trace'}: no epoch has ended, so nothing was traced."
    ]
