"""The words of a command, and how values get into them."""

import pytest

from hpo.spec.sections.command import CommandSpec, filled_words, placed, words_of


@pytest.mark.parametrize(
    ("words", "values", "filled"),
    [
        (["train", "{lr}"], {"lr": 0.1}, ["train", "0.1"]),
        (["train", "--lr={lr}"], {"lr": 1e-5}, ["train", "--lr=1e-05"]),
        (["train", "{a}-{b}"], {"a": 1, "b": "x"}, ["train", "1-x"]),
        (["train", "--m", "{m}", "-v"], {"m": None}, ["train", "-v"]),
        (["train", "--m={m}", "-v"], {"m": None}, ["train", "-v"]),
        (["train", "-v", "--m", "{m}"], {"m": True}, ["train", "-v", "--m", "true"]),
        (["train", "{widths}"], {"widths": [8, 4]}, ["train", "[8, 4]"]),
        (["train", "{text}"], {"text": "a; rm -rf 'b'"}, ["train", "a; rm -rf 'b'"]),
        (["train", '{"a": {lr}}', "{}"], {"lr": 2}, ["train", '{"a": 2}', "{}"]),
    ],
)
def test_values_are_filled_into_words_and_words_without_a_value_are_left_out(words, values, filled):
    assert list(filled_words(words, values)) == filled


def test_a_text_is_split_as_a_shell_would_and_nothing_else_of_it_is_a_shells():
    assert words_of("sh -c 'echo $HOME; {x}' > file") == (
        "sh",
        "-c",
        "echo $HOME; {x}",
        ">",
        "file",
    )


def test_a_variable_with_a_value_that_is_not_given_is_not_set():
    assert placed("lr {lr}", {"lr": None}) is None


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"run": "sh 'train"}, "cannot be split into words"),
        ({"run": ""}, "is empty: write a command"),
        ({"results": {"pattern": "loss"}}, "names no group"),
        ({"results": {"pattern": "(?P<loss>"}}, "is no regular expression"),
        ({"slots": {"gpu": 1.5}}, "is not whole"),
        ({"values": {"a-b": 1}}, "has the name 'a-b'"),
        ({"time_limit": "soon"}, "is not a duration"),
        ({"memory_limit": "much"}, "is not a size"),
    ],
)
def test_a_mistake_says_what_to_write(part, text):
    with pytest.raises(ValueError, match=text):
        CommandSpec.model_validate({"run": "train", **part})


def test_limits_are_written_as_people_do():
    spec = CommandSpec.model_validate({"run": "x", "time_limit": "2m", "memory_limit": "2KiB"})
    assert (spec.time_limit, spec.memory_limit) == (120.0, 2048)
