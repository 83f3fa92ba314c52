"""Errors of a user's own code."""

from __future__ import annotations

import pytest

from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError, telling
from hpo.spec.code.reference import find_code
from hpo.spec.code.running import run_code
from tests.own_code import write_net


def told(folder, source, call=False, **values):
    write_net(folder, source)
    code = find_code("nets.py:Net", folder)

    def run():
        with telling(code, "trial 3", values):
            made = run_code(code)
            return made() if call else made

    with pytest.raises(CodeError) as raised:
        run()
    return str(raised.value)


def test_an_error_is_told_by_the_users_own_lines_with_the_values(tmp_path):
    source = """
        import json

        def half(text):
            return json.loads(text)

        def Net():
            return half("{")
        """

    lines = told(tmp_path, source, call=True, width=8).splitlines()

    assert lines[0].startswith("trial 3: nets.py:Net raised JSONDecodeError: Expecting property")
    assert lines[0].endswith("(width = 8)")
    # Before them comes the frame of this test, which is no code of hpo's either.
    assert lines[2:] == [
        '  nets.py:8, in Net: return half("{")',
        "  nets.py:5, in half: return json.loads(text)",
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_package\n", "raised ModuleNotFoundError: No module named 'no_such"),
        ("raise SystemExit('stop')\n", "raised SystemExit: stop"),
        ("def Net(:\n", "raised SyntaxError"),
        ("other = 1\n", "raised AttributeError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_too(tmp_path, source, says):
    assert says in told(tmp_path, source)


def test_messages_of_ours_pass_through(tmp_path):
    write_net(tmp_path)
    code = find_code("nets.py:Net", tmp_path)
    with pytest.raises(HpoError, match=r"^as it is$"), telling(code, "trial 3"):
        raise HpoError("as it is")
