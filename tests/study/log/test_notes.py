"""Notes about a whole study: their sentences, and notes of earlier versions."""

from hpo.space import RangeMove
from hpo.study.log.notes import Learn, Move, note_from


def test_a_note_describes_the_lesson():
    assert str(Learn("a", True, (), ())) == (
        "From a: 0 configurations to try first, and 0 results for the sampler."
    )


def test_a_move_noted_by_an_earlier_version_lacks_the_written_range():
    move = RangeMove("model.dropout", 0.0, 0.4, 20, "because")
    older = {key: value for key, value in Move(move).to_value().items() if key != "written"}
    assert note_from("move", older) == Move(move)
