"""How `hpo show` tells what techniques did and how the winner fits, of stored studies."""

import json
from io import StringIO

import numpy as np
from rich.console import Console

from hpo.report.study_report import as_json, study_report
from hpo.report.tables import study_view
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.events import End, Propose, Report, Start, StudyState
from hpo.study.storage.lease import acquire
from hpo.trial import TrialState


def stored(storage, store, spec, count, word):
    """A study in which a flip helps; its trials under- or overfit."""
    space = {"augment.flip": {"choice": [0, 0.5]}, "model.dropout": {"float": [0, 0.5]}}
    record, rng = store([], spec={**spec, "space": space}, stop=None), np.random.default_rng(0)
    state = StudyState(Goal((Objective(**spec["search"]["objective"]),)))
    log = []
    state.record(Start({}, ()), None, 0)  # which `store` has stored
    for number in range(count):
        hparams = {"augment.flip": 0.5 * (number % 2), "model.dropout": number * 7 % 20 / 40}
        log.append(state.record(Propose(hparams, state.seq), number, 0))
        for epoch in (1, 2, 3):
            loss = 2.0 - 0.3 * epoch
            train = 0.1 * loss if word == "overfits" else 0.99 * loss
            accuracy = 0.5 + 0.2 * (number % 2) + 0.01 * epoch + float(rng.normal(0, 0.01))
            metrics = {"accuracy": accuracy, "loss": loss, "train_loss": train}
            log.append(state.record(Report(epoch, metrics), number, 0))
        log.append(state.record(End(TrialState.COMPLETE), number, 0))
    with acquire(storage, record.id) as lease:
        storage.append(record.id, log, lease.token)
    report = study_report(storage, spec["name"], top=1)
    console = Console(file=StringIO(), width=200)
    console.print(study_view(report))
    return json.loads(json.dumps(as_json(report))), console.file.getvalue()


def test_a_study_tells_of_each_technique_and_of_its_winner(storage, store, spec):
    document, text = stored(storage, store, spec, 36, "overfits")
    flip, dropout = document["effects"]["effects"]
    assert (flip["path"], flip["verdict"], dropout["verdict"]) == (
        "augment.flip",
        "better",
        "no difference",
    )
    assert document["fit"]["word"] == "overfits"
    assert "overfits: training loss 0.1100, validation loss 1.1000" in text
    (line,) = (line for line in text.split("\n") if "than at 0 " in line)
    assert (
        line.split()
        == (
            f"augment.flip better than at 0 accuracy {flip['on']['value']:.4f} against "
            f"{flip['off']['value']:.4f} gap: no difference, 0.9900 against 0.9900"
        ).split()
    )
    assert "no difference to [0, 0.125]" in text


def test_a_winner_that_underfits_and_too_few_trials(storage, store, spec):
    document, text = stored(storage, store, spec, 20, "underfits")
    assert document["fit"]["word"] == "underfits"
    assert "underfits: " in text
    _, text = stored(storage, store, {**spec, "name": "few"}, 19, "overfits")
    assert text.count("needs 20 trials with a result; 19 have one") == 1  # of the importance
    assert "overfits" not in text
    assert "\ntechniques\n" not in text
