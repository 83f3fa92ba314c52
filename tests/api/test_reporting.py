"""A script reports to the study that runs it."""

import json

import hpo


def test_a_report_is_a_line_of_json_in_the_file_of_the_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_RESULTS", str(tmp_path / "r"))
    monkeypatch.setenv("HPO_METRIC", "val_loss")
    hpo.report(0.5, epoch=3)
    hpo.report(val_loss=0.25, acc=1)
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert lines == [{"epoch": 3, "val_loss": 0.5}, {"val_loss": 0.25, "acc": 1.0}]


def test_a_script_that_no_study_runs_reports_to_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_RESULTS", raising=False)
    hpo.report(0.5)
    assert list(tmp_path.iterdir()) == []
