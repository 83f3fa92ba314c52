"""A study that is begun, set aside or held to its spec."""

from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.spec.load import experiment_from_document
from hpo.study.log.events import Propose, Report, StudyState
from hpo.study.log.notes import Learn
from hpo.study.open import find_or_begin, follow_spec
from hpo.study.storage.lease import acquire
from hpo.study.storage.provenance import Provenance
from tests.documents import SMALL


def an_experiment(*sources, **parts):
    search = {**SMALL["search"], "from": list(sources)} if sources else SMALL["search"]
    return experiment_from_document({**SMALL, **parts, "search": search}, Path())


def opened(storage, experiment, *, starts_over=False):
    provenance = Provenance({}, "2 x cpu", "data-1")
    return find_or_begin(storage, experiment, provenance, starts_over, lambda _: None)[0]


def names(storage):
    return [study.name for study in storage.studies()]


def record(storage, study, *happenings):
    state = StudyState(an_experiment().search.goal)
    events = [state.record(what, trial, 0) for what, trial in happenings]
    with acquire(storage, study.id) as lease:
        storage.append(study.id, events, lease.token)


@pytest.mark.parametrize("source", ["here", "nowhere", "sqlite:///nowhere.db#there"])
def test_a_bad_source_leaves_no_study_behind(storage, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"search\.from"):
        opened(storage, an_experiment(source))
    assert names(storage) == []
    assert not (tmp_path / "nowhere.db").exists()

    opened(storage, an_experiment(name="there"))
    assert opened(storage, an_experiment("there")).name == "here"
    assert names(storage) == ["there", "here"]


@pytest.mark.parametrize("starts_over", [True, False])
def test_a_study_with_a_bad_source_does_not_replace_another(storage, starts_over):
    opened(storage, an_experiment())
    changed = an_experiment("nowhere", train={"epochs": 3})  # would start over by itself, too
    with pytest.raises(StudyError, match=r"search\.from"):
        opened(storage, changed, starts_over=starts_over)
    assert names(storage) == ["here"]


def test_a_bad_source_does_not_change_the_spec_of_a_study(storage):
    study, said = opened(storage, an_experiment()), []
    report = Report(1, {"accuracy": 0.5, "loss": 0.5})
    record(storage, study, (Propose({"model.dropout": 0.1}, 0), 0), (report, 0))
    with pytest.raises(StudyError, match=r"search\.from: .* has no study 'nowhere'"):
        follow_spec(storage, study, an_experiment("nowhere"), said.append)
    assert (storage.study("here").document, said) == (study.document, [])


def test_a_source_that_was_learnt_from_may_be_gone_when_the_spec_changes(storage):
    opened(storage, an_experiment(name="there"))
    study, said = opened(storage, an_experiment("there")), []
    record(storage, study, (Learn("gone", True, (), ()), None))
    follow_spec(storage, study, an_experiment("there", "gone"), said.append)
    assert said == ['The spec has changed: search.from: ["there"] -> ["there", "gone"].']


def test_a_password_that_an_earlier_version_stored_is_removed(storage):
    url = "postgresql://me:secret@host/db"
    study, said = opened(storage, an_experiment(study={"storage": url})), []
    storage.update_document(study.id, {**study.document, "study": {"storage": url}})

    follow_spec(storage, storage.study("here"), an_experiment(study={"storage": url}), said.append)

    assert "secret" not in str(storage.study("here").document)
    assert said == [
        "The stored spec held a password: it is removed, and copies of the database keep it."
    ]
    follow_spec(storage, storage.study("here"), an_experiment(study={"storage": url}), said.append)
    assert len(said) == 1


def test_a_changed_password_is_no_change_of_the_spec_and_is_not_shown(storage):
    study = opened(storage, an_experiment(study={"storage": "postgresql://me:old@host/db"}))
    said = []
    for url in ("postgresql://me:secret@host/db", "postgresql://me:secret@other/db"):
        follow_spec(storage, study, an_experiment(study={"storage": url}), said.append)

    assert said == [
        'The spec has changed: study.storage: "postgresql://me@host/db" -> '
        '"postgresql://me@other/db".'
    ]
