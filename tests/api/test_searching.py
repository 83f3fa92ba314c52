"""`hpo.search` and `hpo.resume` wait for a study; what they refuse."""

from __future__ import annotations

import pytest

import hpo


@pytest.mark.long
def test_a_search_comes_back_with_its_study_and_tells_its_progress(
    spec, flowers, capsys, monkeypatch
):
    # The other process has no terminal, whatever these say.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    study = hpo.search(flowers, trials=2)

    assert (study.name, study.status, len(study.trials)) == ("flowers", "finished", 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flowers: 2 trials\n")
    assert "\x1b" not in err

    again = hpo.search(spec, trials=2, new=True, quiet=True, storage="sqlite:///hpo.db")
    assert again.trials[0].hparams == study.trials[0].hparams
    assert {found.name for found in hpo.studies()} == {"flowers", "flowers-1"}


def test_a_mistake_is_told_before_any_process_is_started(flowers):
    flowers["model"]["widths"] = [0]
    with pytest.raises(hpo.SpecError, match=r"^model\.widths"):
        hpo.search(flowers)
    with pytest.raises(hpo.StudyError, match=r"^no study database at hpo\.db"):
        hpo.resume("flowers")
    with pytest.raises(hpo.HpoError, match=r"^flowers: optimizer\.learning_rate may vary"):
        hpo.train(flowers | {"model": {"name": "mlp"}}, "model")


def test_what_only_the_other_process_finds_out_is_the_same_error_here(flowers):
    flowers["data"] = {"dataset": {"csv": "no.csv", "target": "y"}}
    with pytest.raises(hpo.DataError, match=r"no\.csv"):
        hpo.search(flowers, quiet=True)


def test_a_device_that_is_not_there_is_refused(flowers):
    with pytest.raises(hpo.DeviceError, match="qpu"):
        hpo.search(flowers, device="qpu", quiet=True)
