from dataclasses import replace

import pytest

from hpo.errors import DamagedError
from hpo.study.storage.provenance import (
    HARMLESS,
    Provenance,
    differences,
    library_versions,
    refusal,
    spec_changes,
)

PROVENANCE = Provenance({"jax": "0.10.2", "python": "3.11.7"}, "2 CPU cores", "data-1")
DOCUMENT = {
    "name": "digits",
    "data": {"dataset": "digits", "device_budget": "auto"},
    "train": {"epochs": 27, "seed": 0, "lanes": "auto"},
    "model": {"name": "mlp", "widths": [128, 128]},
    "space": {"model.dropout": {"float": [0.0, 0.5]}, "model.widths": {"choice": [[64], [128]]}},
    "search": {"trials": 100, "timeout": "10m"},
    "study": {"storage": "sqlite:///hpo.db", "checkpoint_seconds": 10.0},
}


def changed(path, value):
    group, name = path.split(".", 1)
    return DOCUMENT | {group: DOCUMENT.get(group, {}) | {name: value}}


def test_provenance_is_read_back_from_the_study_that_was_stored_with_it(storage):
    record = storage.create_study("digits", {}, 0, PROVENANCE.to_document(), "data-1")

    assert Provenance.of(record) == PROVENANCE


def test_a_study_without_a_part_of_its_provenance_is_damaged(storage):
    record = storage.create_study("digits", {}, 0, {"versions": {}}, "data-1")

    with pytest.raises(
        DamagedError, match=r"is damaged \(hpo_studies, study 'digits': no 'device'"
    ):
        Provenance.of(record)


def test_the_versions_name_every_library_that_results_depend_on():
    assert {"hpo", "python", "jax", "flax", "optax", "optuna", "numpy"} <= set(library_versions())


def test_the_same_provenance_has_no_differences():
    assert differences(PROVENANCE, replace(PROVENANCE, versions=dict(PROVENANCE.versions))) == []


def test_every_difference_is_a_sentence():
    new = Provenance({"jax": "0.10.3", "python": "3.11.7"}, "1 GPU", "data-2")

    assert differences(PROVENANCE, new) == [
        "The study began with jax 0.10.2 and continues with 0.10.3.",
        "The study began on 2 CPU cores and continues on 1 GPU.",
        "The data have changed since the study began: earlier results are not comparable.",
    ]


@pytest.mark.parametrize("path", sorted(HARMLESS))
def test_a_harmless_change_is_accepted(path):
    harmless, refused = spec_changes(DOCUMENT, changed(path, 5))

    assert [line.split(":")[0] for line in harmless] == [path]
    assert refused == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("train.epochs", 81, "train.epochs: 27 -> 81"),
        ("train.seed", False, "train.seed: 0 -> false"),
        ("train.precision", "bfloat16", 'train.precision: not given -> "bfloat16"'),
        ("model.widths", [128], "model.widths: [128, 128] -> [128]"),
    ],
)
def test_a_change_that_alters_results_is_refused(path, value, line):
    assert spec_changes(DOCUMENT, changed(path, value)) == ([], [line])


def test_another_space_is_accepted():
    line = "space.model.dropout.float: [0.0, 0.5] -> [0.0, 0.4]"
    assert spec_changes(DOCUMENT, changed("space.model.dropout", {"float": [0.0, 0.4]})) == (
        [line],
        [],
    )


def test_a_removed_setting_is_a_change():
    document = DOCUMENT | {"train": {"epochs": 27, "lanes": "auto"}}

    assert spec_changes(DOCUMENT, document) == ([], ["train.seed: 0 -> not given"])


def test_fewer_trials_are_a_harmless_change():
    assert spec_changes(DOCUMENT, changed("search.trials", 5)) == (["search.trials: 100 -> 5"], [])


def test_the_order_of_the_space_counts_and_that_of_other_keys_does_not():
    space = dict(reversed(DOCUMENT["space"].items()))

    assert spec_changes(DOCUMENT, dict(reversed(DOCUMENT.items()))) == ([], [])
    assert spec_changes(DOCUMENT, DOCUMENT | {"space": space})[0] == [
        "space: order model.dropout, model.widths -> model.widths, model.dropout"
    ]


def test_a_study_set_aside_still_has_its_spec():
    assert spec_changes(DOCUMENT, DOCUMENT | {"name": "digits-1"}) == ([], [])


def test_a_refusal_names_every_change_and_the_cures():
    assert str(refusal("digits", ["train.epochs: 27 -> 81", "train.seed: 0 -> 1"])) == (
        "study 'digits' began with another spec: start over with --new, give this one another "
        "name (name: in the spec, --name of hpo run), or put back what differs: "
        "train.epochs: 27 -> 81; train.seed: 0 -> 1."
    )
    assert str(refusal("digits", list("abcdefg"))).endswith("differs: a; b; c; d; e; and 2 more.")
