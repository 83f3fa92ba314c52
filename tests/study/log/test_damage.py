"""An error while stored values are read becomes one that says where they are stored."""

import pytest

from hpo.errors import DamagedError, SpecError
from hpo.study.log.damage import as_damage, said


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda: {}["accuracy"], "no 'accuracy'"),
        (lambda: float("much"), "could not convert string to float: 'much'"),
        (lambda: int("9" * 5_000), "Exceeds the limit"),
        (lambda: b"\xff".decode(), "'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_cannot_be_read_names_the_file_the_place_and_the_reason(read, reason):
    with pytest.raises(DamagedError) as error, as_damage("hpo.db", "hpo_events, event 3"):
        read()

    assert str(error.value).startswith(f"hpo.db is damaged (hpo_events, event 3: {reason}")
    assert error.value.what.startswith("hpo_events, event 3: ")


def test_an_error_that_is_one_already_stays_as_it_is():
    with pytest.raises(SpecError), as_damage("hpo.db", "hpo_studies"):
        raise SpecError(["model: unknown"])


def test_a_reason_is_one_short_line_of_printable_characters():
    assert said("two\n lines \x1b[2J") == "two lines \\x1b[2J"
    assert len(said("x" * 10_000)) < 130
