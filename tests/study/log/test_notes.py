"""Notes about a whole study: their sentences, and notes of earlier versions."""

from hpo.space import RangeMove
from hpo.study.log.notes import (
    EXPORTED,
    Engine,
    Learn,
    Move,
    Precision,
    decided_engine,
    decided_precision,
    note_from,
)


def test_a_note_describes_the_lesson():
    assert str(Learn("a", True, (), ())) == (
        "From a: 0 configurations to try first, and 0 results for the sampler."
    )


def test_a_move_noted_by_an_earlier_version_lacks_the_written_range():
    move = RangeMove("model.dropout", 0.0, 0.4, 20, "because")
    older = {key: value for key, value in Move(move).to_value().items() if key != "written"}
    assert note_from("move", older) == Move(move)


def test_a_precision_is_noted_with_what_was_measured():
    note = Precision("bfloat16", "float32 took 2 s")
    assert note_from("precision", note.to_value()) == note
    assert decided_precision([Learn("a", True, (), ()), note]) is note
    assert decided_precision([]) is None
    assert str(note) == "Trials train in bfloat16: float32 took 2 s."
    of_one = Precision("float32", "float32 took 2 s", "3f2a")
    assert note_from("precision", of_one.to_value()) == of_one
    assert decided_precision([of_one]) is None
    assert str(of_one) == "Trials of program 3f2a train in float32: float32 took 2 s."
    older = {"name": "bfloat16", "why": "float32 took 2 s"}
    assert note_from("precision", older) == note


def test_the_engine_of_latencies_is_noted_with_the_reason():
    note = Engine("JAX", "onnx is missing.")
    assert note_from("engine", note.to_value()) == note == decided_engine([note])
    assert decided_engine([]) is None
    assert str(note) == "latency_ms is that of the model in JAX: onnx is missing."
    assert "in onnxruntime, for one row" in str(Engine(EXPORTED))
