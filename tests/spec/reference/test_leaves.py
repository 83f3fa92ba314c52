"""The leaves of a spec as it is written, and what `--set` can give them."""

from hpo.spec.reference.leaves import offers, spec_leaves

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

    assert set(names["optimizer.name"]) == {"sgd", "adam", "adamw", "rmsprop"}
    assert names["model.norm"] == ("none", "batch", "layer")
    assert names["train.epochs"] == ()


def test_without_a_spec_the_names_of_variants_are_offered_first():
    offered = offers(None, ())

    assert set(offered["model.name"]) == {"mlp", "cnn"}
    assert "model" not in offered
    assert offered["train.seeds"] == ["1"]
