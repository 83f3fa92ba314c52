"""Included spaces: their entries and rules join those of the spec."""

import os

from hpo.space import Choice
from hpo.spec.file.include import read_text
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


def test_a_pipe_is_read_and_one_that_nobody_writes_to_is_empty(tmp_path):
    pipe = tmp_path / "spec.yaml"
    os.mkfifo(pipe)
    assert read_text(pipe) == ""

    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"name: piped\n")
    reading = os.open(pipe, os.O_RDONLY)  # keeps what is written once the writer has gone
    os.close(writer)
    assert read_text(pipe) == "name: piped\n"
    os.close(reading)
