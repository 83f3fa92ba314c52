"""A command's values are leaves beside its sections."""

import subprocess

import pytest

from hpo.errors import SpecError
from hpo.spec.code.own_command import command_line, shell_line
from hpo.spec.fill import fill
from hpo.spec.load import load_document, load_experiment
from hpo.spec.sections.command import argument_text

SEARCH = {"objective": {"minimize": "val_loss"}, "trials": 3}
SPACE = {"lr": {"float": [1e-5, 0.1], "log": True}}


def read(tmp_path, run="train --lr {lr}", *, space=SPACE, search=SEARCH, **command):
    document = {"name": "x", "command": {"run": run, **command}, "space": space, "search": search}
    return load_document(document, tmp_path)


def lines(tmp_path, *args, **parts):
    with pytest.raises(SpecError) as error:
        read(tmp_path, *args, **parts)
    return error.value.mistakes


def test_the_space_names_values_shortly_and_a_trial_fills_them_in(tmp_path):
    space = {**SPACE, "opt": {"choice": ["sgd", "adam"]}}
    space["momentum"] = {"float": [0.0, 0.9], "when": {"opt": "sgd"}}
    run = "train --lr {lr} --opt {opt} --momentum {momentum} --wd {wd}"
    training = read(tmp_path, run, space=space, values={"wd": 0.5}).training
    sgd = fill(training, {"lr": 0.1, "opt": "sgd", "momentum": 0.5}, 3)
    adam = fill(training, {"lr": 0.1, "opt": "adam"}, 4)
    assert command_line(sgd) == "train --lr 0.1 --opt sgd --momentum 0.5 --wd 0.5"
    assert command_line(adam) == "train --lr 0.1 --opt adam --wd 0.5"
    assert (sgd.train.stream, adam.train.epochs) == (3, 1)


def test_an_override_changes_the_default_of_a_value(tmp_path):
    document = {"name": "x", "command": {"run": "train {wd} {lr}", "values": {"wd": 1}}}
    document |= {"space": SPACE, "search": SEARCH}
    assert load_document(document, tmp_path, ["wd=3"]).training.values["wd"] == 3


def test_a_value_that_does_not_reach_the_command_is_refused(tmp_path):
    assert lines(tmp_path, "train") == [
        "space.lr: does not reach the command: write {lr}, or {config} for a file of all"
    ]
    read(tmp_path, "train --config {config}")
    read(tmp_path, "train", env={"LR": "{lr}"})


def test_a_name_that_is_no_value_is_refused(tmp_path):
    (line,) = lines(tmp_path, "train {lr} {lrr}")
    assert line.startswith("command.run: names {lrr}: unknown value 'lrr'. Did you mean 'lr'?")


def test_a_value_has_no_name_of_a_section_or_of_a_spec_class(tmp_path):
    for name in ("search", "copy", "values"):
        (line,) = lines(tmp_path, "train {lr}", values={name: 1})
        assert line.startswith(f"command.values.{name}: is a word of hpo's own")


def test_a_command_cannot_copy_weights_and_has_no_parameters_to_count(tmp_path):
    search = {**SEARCH, "scheduler": {"name": "pbt"}}
    assert "pbt copies the weights of trials" in lines(tmp_path, search=search)[0]
    search = {**SEARCH, "objective": {"minimize": "train_seconds"}}
    assert "train_seconds is measured, not reported" in lines(tmp_path, search=search)[0]
    search = {**SEARCH, "constraints": [{"metric": "parameters", "at_most": 5}]}
    assert "parameters is not known of a command" in lines(tmp_path, search=search)[0]
    search = {**SEARCH, "keep_weights": 2}
    assert "a command keeps its own model: write 0" in lines(tmp_path, search=search)[0]


def test_a_mistake_in_the_workers_of_a_function_stands_at_its_own_line(tmp_path):
    (tmp_path / "train.py").write_text("def objective(lr): ...\n")
    (tmp_path / "s.yaml").write_text(
        "name: x\nobjective:\n  python: train.py:objective\n  workers: 0\n"
        "space: {lr: {float: [0.1, 0.2]}}\nsearch: {objective: {minimize: loss}, trials: 2}\n"
    )
    with pytest.raises(SpecError) as error:
        load_experiment(tmp_path / "s.yaml")
    (line,) = error.value.mistakes
    assert line.startswith(f"{tmp_path / 's.yaml'}:4: ")


def test_the_default_of_an_argument_may_be_a_list(tmp_path):
    (tmp_path / "train.py").write_text("def objective(lr, widths=[8, 4]): ...\n")
    document = {"name": "x", "objective": {"python": "train.py:objective"}, "space": SPACE}
    training = load_document({**document, "search": SEARCH}, tmp_path).training
    assert training.values["widths"] == [8, 4]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1e20, "1e+20"), (float("inf"), "inf"), (True, "true"), ([1, 2], "[1, 2]")],
)
def test_a_value_reaches_a_command_as_one_would_type_it(value, text):
    assert argument_text(value) == text


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ({"run": ["sh", "-c", "echo $LR $HPO_EPOCHS"], "env": {"LR": "{lr}"}}, "1e-05 9"),
        ({"run": "cat {config}"}, '{"lr": 1e-05}'),
        ({"run": "cat {config}", "config": "yaml"}, "{lr: 1.0e-05}"),
        ({"run": ["sh", "-c", "cd {checkpoints} && echo {lr}"]}, "1e-05"),
        ({"run": "echo {epochs} {lr}"}, "9 1e-05"),
    ],
)
def test_a_line_for_a_shell_gives_a_command_all_its_values(tmp_path, command, printed):
    document = {"name": "x", "command": command, "space": SPACE, "train": {"epochs": 9}}
    training = load_document({**document, "search": SEARCH}, tmp_path).training
    line = shell_line(fill(training, {"lr": 1e-05}, 3))
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == printed
