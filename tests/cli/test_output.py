"""Where their output goes."""

import logging

from hpo.cli.output import stderr


def test_a_warning_of_a_library_is_one_line_on_stderr(capsys):
    before = logging.root.handlers[:]
    try:
        stderr()
        logging.getLogger("hpo.study").warning("the checkpoint\n%s is gone", "7-3")
        logging.getLogger("hpo.study").info("nothing")
    finally:
        logging.root.handlers[:] = before

    assert capsys.readouterr().err == "warning: the checkpoint 7-3 is gone\n"
