"""`hpo.compress`: a trained model made smaller in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpo
from hpo.api.models.compressing import check_apart


@pytest.mark.long
def test_a_model_becomes_smaller_and_bad_input_is_refused_as_on_the_command_line(spec, flowers):
    del flowers["space"], flowers["search"]
    whole = hpo.train(flowers, "whole", quiet=True)
    found = hpo.compress("whole", "small", sparsity=0.5, bits=3, epochs=1, quiet=True)
    assert found.before == whole.metrics
    assert found.after == found.model.metrics
    assert found.model == hpo.load("small")
    assert found.bytes_after == Path("small/weights/packed.bin").stat().st_size
    assert found.bytes_after < found.bytes_before
    for words, why in (
        ({"bits": 9}, r"^--bits 9: a weight has 2 to 8 bits, or 32: give another\.$"),
        ({"rank": 500}, "^--rank 500: the hidden layers would have "),
        ({"sparsity": 2.0}, "^compression.sparsity.share: cannot be 2.0"),
    ):
        with pytest.raises(hpo.HpoError, match=why):
            hpo.compress("whole", "new", **words)
    with pytest.raises(hpo.HpoError, match=r"^-o whole: holds the model to compress"):
        hpo.compress("whole", "whole")
    assert not Path("new").exists()


def test_a_folder_has_one_place_by_all_its_names(tmp_path: Path) -> None:
    for name in (str(tmp_path), f"{tmp_path}/", tmp_path.as_uri(), f"{tmp_path.as_uri()}/"):
        with pytest.raises(hpo.HpoError, match="holds the model to compress"):
            check_apart(tmp_path, name)
    check_apart(tmp_path, f"{tmp_path.as_uri()}s")
