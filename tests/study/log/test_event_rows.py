"""Events as rows of the database."""

import pytest
from hypothesis import given

from hpo.errors import StudyError
from hpo.study.log.event_rows import EventRow, from_rows, to_row
from tests.study.log.logs import logs


@given(logs())
def test_an_event_is_read_back_from_its_row_unchanged(log):
    assert repr(from_rows([to_row(event) for event in log])) == repr(log)


def test_an_event_of_a_later_version_asks_for_an_update():
    with pytest.raises(StudyError, match="'mutate', which this version of hpo does not know"):
        from_rows([EventRow(1, 0, "mutate", None, "{}", 0)])
