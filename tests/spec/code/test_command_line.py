"""Ranges in a command that is typed."""

import pytest

from hpo.errors import HpoError
from hpo.spec.code.command_line import read_command_line


def test_ranges_are_named_after_their_options_or_by_themselves():
    words = ["python", "t.py", "--lr", "~log(1e-5, 1e-1)", "--opt=~choice(adamw, 3, true)"]
    words += ["--weight-decay", "~float(0, 1)", "~n=int(1, 9)", "-k", "~int(1, 1000, log)", "-v"]
    run, space = read_command_line(words)
    assert run == [
        "python",
        "t.py",
        "--lr",
        "{lr}",
        "--opt={opt}",
        "--weight-decay",
        "{weight_decay}",
        "{n}",
        "-k",
        "{k}",
        "-v",
    ]
    assert space == {
        "lr": {"float": [1e-5, 0.1], "log": True},
        "opt": {"choice": ["adamw", 3, True]},
        "weight_decay": {"float": [0, 1]},
        "n": {"int": [1, 9]},
        "k": {"int": [1, 1000], "log": True},
    }


def test_a_range_may_be_the_value_of_a_key_without_dashes():
    words = ["awk", "-v", "eta=~float(0, 1)", "opt.lr=~log(1e-5, 1)", "-f", "x.awk"]
    run, space = read_command_line(words)
    assert run == ["awk", "-v", "eta={eta}", "opt.lr={opt_lr}", "-f", "x.awk"]
    assert [*space] == ["eta", "opt_lr"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["t", "-v"], "nothing varies in the command"),
        (["t", "~log(1, 2)"], "has no option before it: name it, as in ~rate=log"),
        (["t", "--a", "~int(1, 2)", "--a", "~int(1, 2)"], "is the second one of that name"),
        (["t", "--a", "~log(1)"], "is not a range"),
        (["t", "--a", "~log(1, x)"], "is not a range"),
        (["t", "--a", "~normal(0, 1)"], "is not a range"),
        (["t", "--a", "~log(1, 2"], "is not a range"),
        (["t", "--a", "~choice()"], "is not a range"),
        (["t", "+a=~int(1, 2)"], "is not a range"),
    ],
)
def test_a_range_that_cannot_be_read_is_refused(words, text):
    with pytest.raises(HpoError, match=text):
        read_command_line(words)


def test_a_home_folder_is_no_range():
    assert read_command_line(["~/bin/t", "--a", "~int(1, 2)"])[0] == ["~/bin/t", "--a", "{a}"]
