"""Included spaces: their entries and rules join those of the spec."""

from hpo.space import Choice
from tests.spec.samples import loaded


def test_included_spaces_come_first_and_own_entries_replace_theirs(tmp_path):
    (tmp_path / "mine.yaml").write_text("model.dropout: {float: [0.0, 0.5]}\nmodel.norm: layer\n")
    text = "space: {include: mine, model.activation: {choice: [relu, tanh]}, model.dropout: 0.3}"
    experiment = loaded(tmp_path, text)
    assert {d.path: d.distribution for d in experiment.space.dimensions} == {
        "model.dropout": Choice((0.3,)),
        "model.norm": Choice(("layer",)),
        "model.activation": Choice(("relu", "tanh")),
    }
    assert "include" not in experiment.document["space"]
