"""The leaves of a spec as it is written, and what `--set` can give them."""

from pathlib import Path

from hpo.registry import DATASETS, METRICS, MODELS, OPTIMIZERS
from hpo.spec.load import read_document
from hpo.spec.reference.leaves import names_of, offers, origins, spec_leaves
from hpo.spec.sections.data import DataSpec
from hpo.spec.sections.goal import COSTS, Constraint, Objective
from hpo.spec.sections.train import TrainSpec

VALUES = {
    "name": "x",
    "data": {"dataset": {"csv": "a.csv", "target": "y"}},
    "model": {"name": "mlp"},
    "optimizer": {"name": "sgd", "schedule": {"name": "step"}},
    "train": {"epochs": 3},
}


def test_leaves_are_those_of_the_variants_that_are_chosen():
    leaves = {leaf.path: leaf.value for leaf in spec_leaves(VALUES)}

    assert leaves["data.dataset.csv"] == "a.csv"
    assert leaves["data.dataset.separator"] == ","
    assert leaves["optimizer.schedule.drops"] == 2
    assert leaves["model.widths"] == (128, 128)
    assert leaves["search"] is None
    assert not {"optimizer.beta1", "optimizer.schedule.final", "model.filters"} & leaves.keys()


def test_the_name_of_a_variant_may_be_that_of_any_other():
    names = {leaf.path: leaf.names for leaf in spec_leaves(VALUES)}

    assert set(names["optimizer.name"]) == set(OPTIMIZERS)
    assert names["model.norm"] == ("none", "batch", "layer")
    assert names["train.epochs"] == ()


def test_a_text_that_is_one_of_the_known_names_has_these():
    assert set(names_of(DataSpec, "dataset")) == set(DATASETS)
    for spec, field in ((Objective, "maximize"), (Objective, "minimize"), (Constraint, "metric")):
        assert set(names_of(spec, field)) == {*METRICS, *COSTS}
    assert names_of(Objective, "reference") == ()
    scored = {name for name, entry in METRICS.items() if entry.is_named}
    assert set(names_of(TrainSpec, "metrics")) == {f"[{name}]" for name in scored}


def test_without_a_spec_the_names_of_variants_are_offered_first():
    offered = offers(None, ())

    assert set(offered["model.name"]) == set(MODELS)
    assert "model" not in offered
    assert offered["train.seeds"] == ["1"]


def test_every_leaf_says_where_its_value_comes_from(tmp_path):
    (tmp_path / "wide.yaml").write_text("model.dropout: {float: [0.0, 0.5]}\n")
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\ndata: {dataset: iris}\nmodel: {name: mlp}\noptimizer:\n  name: adam\n"
        "  beta1: 0.8\ntrain: {epochs: 3}\nspace: {include: wide}\n"
    )
    document, _, wrong = read_document(path, ["optimizer.epsilon=1.0e-7"])
    found = {leaf: (value, origin) for leaf, value, origin in origins(document, Path())}

    assert wrong == []
    assert found["optimizer.beta1"] == ("0.8", f"{path}:6")
    assert found["optimizer.beta2"] == ("0.999", "default")
    assert found["optimizer.schedule.name"] == ("constant", "default")
    assert found["optimizer.epsilon"] == ("1.0e-7", "--set optimizer.epsilon=1.0e-7")
    assert found["model.dropout"] == ("0.0", "default (varies)")
    assert found["space.model.dropout"] == ("{float: [0.0, 0.5]}", f"{tmp_path / 'wide.yaml'}:1")
