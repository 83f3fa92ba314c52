"""A study's experiment, from its storage alone."""

from pathlib import Path

import pytest

from hpo.errors import SpecError, StudyError
from hpo.spec.load import experiment_from_document
from hpo.spec.sections.scheduler import Asha, Bohb, Pbt
from hpo.study.open import follow_spec
from hpo.study.storage.stored import stored_experiment, to_store

SPEC = {
    "name": "digits",
    "data": {"dataset": "digits"},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd"},
    "train": {"epochs": 9},
    "space": {"model.dropout": {"float": [0.0, 0.5]}},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 27},
}


def test_overrides_reach_the_experiment_and_its_document(storage):
    record = storage.create_study("digits", SPEC, 0, {}, "")

    experiment = stored_experiment(record, "hpo.db", ["search.trials=81"])

    assert experiment.search.trials == experiment.document["search"]["trials"] == 81
    assert record.document["search"]["trials"] == 27


def test_paths_start_where_the_spec_lay_or_else_in_the_working_folder(storage, tmp_path):
    here = storage.create_study("here", SPEC, 0, {"folder": str(tmp_path)}, "")
    gone = storage.create_study("gone", SPEC, 0, {"folder": str(tmp_path / "gone")}, "")

    assert stored_experiment(here, "hpo.db").folder == tmp_path
    assert stored_experiment(gone, "hpo.db").folder == Path.cwd()


def test_a_study_that_was_set_aside_has_its_new_name(storage):
    record = storage.create_study("digits-1", SPEC, 0, {}, "")
    assert stored_experiment(record, "hpo.db").name == "digits-1"


def test_the_error_about_an_outdated_stored_spec_names_the_study(storage):
    model = {"name": "mlp", "units": 8}
    record = storage.create_study("digits", {**SPEC, "model": model}, 0, {}, "")
    with pytest.raises(SpecError, match=r"study digits in hpo\.db: model\.units: unknown"):
        stored_experiment(record, "hpo.db")


def test_an_unknown_name_in_a_stored_spec_asks_for_its_package_unless_it_is_replaced(storage):
    record = storage.create_study("digits", {**SPEC, "model": {"name": "gated"}}, 0, {}, "")

    with pytest.raises(StudyError, match=r"'digits' has names .* here: model 'gated'\. First reg"):
        stored_experiment(record, "hpo.db")
    assert stored_experiment(record, "hpo.db", ["model.name=mlp"]).training.model.name == "mlp"


def test_a_study_keeps_the_sampler_and_scheduler_that_its_spec_left_to_the_defaults(storage):
    experiment = experiment_from_document(SPEC, Path())
    search = to_store(experiment)["search"]
    assert (search["sampler"], search["scheduler"]) == ({"name": "auto"}, {"name": "auto"})
    record = storage.create_study("digits", to_store(experiment), 0, {}, "")
    assert stored_experiment(record, "hpo.db").search == experiment.search


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ({"name": "asha", "eta": 4}, Asha(name="asha", eta=4).model_dump()),
        ({"name": "bohb"}, Bohb(name="bohb").model_dump()),
        ({"name": "pbt", "population": 4}, Pbt(name="pbt", population=4).model_dump(mode="json")),
        ({"name": "optuna", "pruner": {"name": "median"}},) * 2,
    ],
    ids=lambda spec: spec["name"],
)
def test_a_study_keeps_the_options_of_its_scheduler_that_were_left_to_the_defaults(
    storage, written, kept
):
    parts = {"sampler": {"name": "auto"}, "scheduler": written}
    experiment = experiment_from_document({**SPEC, "search": {**SPEC["search"], **parts}}, Path())
    search = to_store(experiment)["search"]
    assert search["scheduler"] == kept
    assert search["sampler"] == {"name": "auto"}
    record = storage.create_study("digits", to_store(experiment), 0, {}, "")
    assert stored_experiment(record, "hpo.db").search == experiment.search
    assert follow_spec(storage, record, experiment, print) == []


def test_an_older_study_without_sampler_and_scheduler_keeps_its_old_defaults(storage):
    record = storage.create_study("digits", SPEC, 0, {}, "")
    search = stored_experiment(record, "hpo.db").search
    assert (search.sampler.name, search.scheduler.name) == ("tpe", "hyperband")
    experiment = experiment_from_document(SPEC, Path())
    with pytest.raises(StudyError, match=r"search.sampler.name: .*tpe.* -> .*auto"):
        follow_spec(storage, record, experiment, print)


def test_a_study_keeps_its_baselines_and_an_older_one_has_none_unless_its_spec_asks(storage):
    experiment = experiment_from_document(SPEC, Path())
    newer = storage.create_study("newer", to_store(experiment), 0, {}, "")
    parts = {"sampler": {"name": "auto"}, "scheduler": {"name": "auto"}}
    document = {**SPEC, "search": {**SPEC["search"], **parts}}
    older = storage.create_study("older", document, 0, {}, "")
    assert stored_experiment(newer, "hpo.db").search.baselines is True
    assert stored_experiment(older, "hpo.db").search.baselines is False

    said = []
    follow_spec(storage, older, experiment, said.append)
    assert said == ["The spec has changed: search.baselines: false -> true."]


@pytest.mark.parametrize(
    ("scheduler", "option", "default"), [("median", "min_epochs", 2), ("patience", "epochs", 3)]
)
def test_a_number_that_follows_from_the_epochs_may_be_written_but_not_changed(
    storage, scheduler, option, default
):
    def an_experiment(**options):
        search = {**SPEC["search"], "scheduler": {"name": scheduler, **options}}
        return experiment_from_document({**SPEC, "train": {"epochs": 16}, "search": search}, Path())

    record = storage.create_study("digits", to_store(an_experiment()), 0, {}, "")
    assert follow_spec(storage, record, an_experiment(**{option: default}), print) == []
    with pytest.raises(StudyError, match=rf"search\.scheduler\.{option}: {default} -> 5"):
        follow_spec(storage, record, an_experiment(**{option: 5}), print)


def test_an_older_study_with_the_median_rule_still_compares_from_the_first_epoch(storage):
    document = {**SPEC, "search": {**SPEC["search"], "scheduler": {"name": "median"}}}
    older = storage.create_study("older", document, 0, {}, "")
    assert stored_experiment(older, "hpo.db").search.scheduler.min_epochs == 1
    newer = storage.create_study(
        "newer", to_store(experiment_from_document(document, Path())), 0, {}, ""
    )
    assert stored_experiment(newer, "hpo.db").search.scheduler.min_epochs is None


def test_no_password_is_stored(tmp_path):
    search = {**SPEC["search"], "from": ["postgresql://me:secret@host/db#other"]}
    url = "postgresql://me:secret@host/db"
    spec = {**SPEC, "search": search, "study": {"storage": url}}
    experiment = experiment_from_document(spec, Path())

    document = to_store(experiment)

    assert experiment.study.storage == url
    assert document["study"]["storage"] == "postgresql://me@host/db"
    assert document["search"]["from"] == ["postgresql://me@host/db#other"]
    assert "secret" not in str(document)


def test_a_stored_spec_that_includes_files_is_refused(storage, tmp_path):
    (tmp_path / "mine.yaml").write_text("model.dropout: {float: [0.0, 0.1]}")
    spec = {**SPEC, "space": {**SPEC["space"], "include": ["mine"]}}
    record = storage.create_study("digits", spec, 0, {"folder": str(tmp_path)}, "")

    with pytest.raises(StudyError, match=r"space\.include: a stored spec includes no files"):
        stored_experiment(record, "hpo.db")


def test_an_experiment_says_whether_its_spec_was_stored(storage):
    record = storage.create_study("digits", SPEC, 0, {}, "")

    assert stored_experiment(record, "hpo.db").is_stored
    assert not experiment_from_document(SPEC, Path()).is_stored


@pytest.mark.parametrize("part", ["sampler", "scheduler"])
@pytest.mark.parametrize("written", [{}, {"kind": "tpe"}, {"name": []}, "tpe", None])
def test_a_part_of_a_stored_search_without_a_name_is_a_mistake_in_the_spec(storage, part, written):
    search = {**SPEC["search"], part: written}
    record = storage.create_study("digits", {**SPEC, "search": search}, 0, {}, "")
    with pytest.raises(SpecError, match=rf"study digits in hpo\.db: search\.{part}"):
        stored_experiment(record, "hpo.db")
