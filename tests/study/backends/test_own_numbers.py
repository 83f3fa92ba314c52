"""Whole studies of a model of the user's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from hpo.api.study import Study
from hpo.errors import HpoError, StudyError
from hpo.report.export import export_trial
from hpo.spec.load import load_document, load_experiment
from hpo.spec.marks import with_leaves
from hpo.study.backends.own_numbers import sentence
from hpo.study.log.notes import Numbers
from hpo.study.storage.stored import stored_experiment
from hpo.study.storage.tables import Storage
from hpo.trial import TrialState
from tests.own_code import NET, own_experiment, write_net
from tests.study.whole import Studies

SPACE = {
    "model.rate": {"float": [0.0, 0.5]},
    "model.gain": {"float": [0.5, 2.0]},
    "model.scale": {"float": [0.5, 2.0]},
}
# `scale` is compared in Python.
STATIC = NET.replace("return self.head(x) * self.scale", "return self.head(x) if self.scale else x")


def stored(studies: Studies, name: str = "own"):
    with Storage.read(studies.url) as storage:
        return stored_experiment(storage.study(name), "test")


def more(experiment, trials):
    search = with_leaves(experiment.search, {"trials": trials})
    document = {
        **experiment.document,
        "search": {**experiment.document["search"], "trials": trials},
    }
    return replace(experiment, search=search, document=document)


@pytest.mark.long
def test_two_hundred_trials_over_its_floats_compile_one_program(tmp_path, studies: Studies):
    write_net(tmp_path)

    outcome = studies.run(
        more(own_experiment(tmp_path, space=SPACE), 200), cache=tmp_path / "fresh"
    )

    assert outcome.progress.programs == 1
    assert len(studies.state(own_experiment(tmp_path, space=SPACE))) == 200


def test_a_study_goes_on_and_its_winner_trains_again_to_the_same_bits(tmp_path, studies: Studies):
    write_net(tmp_path)
    experiment = own_experiment(tmp_path, space=SPACE)
    studies.run(experiment)
    best = studies.run(more(stored(studies), 6)).progress.best
    assert best is not None

    path = tmp_path / "best.yaml"
    with Storage.read(studies.url) as storage:
        path.write_text(export_trial(storage, "own", None, path, date(2026, 11, 26)).text)
    curve = [r.metrics for r in studies.train(load_experiment(path), tmp_path / "model").curve]

    assert curve == studies.state(experiment).metrics[best.number]
    assert any(said.startswith("Runs nets.py:Net (") for said in studies.said)
    knobs = "All numbers of your code are knobs: no value of them compiles a program."
    assert studies.said.count(knobs) == 2  # at each start


def test_which_numbers_are_static_is_decided_once_and_said(tmp_path, studies: Studies):
    write_net(tmp_path, STATIC)
    experiment = own_experiment(tmp_path, {"scale": 1.0}, {"model.rate": {"float": [0.1, 0.5]}})
    studies.run(experiment)
    studies.run(more(stored(studies), 6))

    notes = [n for n in studies.state(experiment).notes if isinstance(n, Numbers)]
    assert [[*note.static] for note in notes] == [["model.scale"]]
    said = [text for text in studies.said if text.startswith("model.scale is static, because")]
    assert len(said) == 2  # at each start


def test_a_module_that_reads_a_global_which_it_changes_is_told(tmp_path, studies: Studies):
    source = NET.replace("class Net", "CALLS = []\n\n    class Net").replace(
        "x = drop(x)", "CALLS.append(1); x = drop(x) * len(CALLS)"
    )
    write_net(tmp_path, source)
    studies.run(more(own_experiment(tmp_path, space=SPACE), 1))

    (told,) = [text for text in studies.said if "differs from call to call" in text]
    assert told.startswith("nets.py:Net differs")
    assert "a global that it changes" in told


def test_a_study_does_not_go_on_with_changed_code_unasked(tmp_path, studies: Studies):
    write_net(tmp_path)
    experiment = own_experiment(tmp_path, space=SPACE)
    studies.run(experiment)
    write_net(tmp_path, "raise SystemExit('the code has run')")
    reading = Study("own", studies.url)
    assert reading.overview.trials == len(reading.report().top) == 4  # runs nothing
    write_net(tmp_path, f"{NET}\n    # changed\n")

    with pytest.raises(StudyError, match="last ran with another version of"):
        studies.run(more(stored(studies), 6))
    with Storage.read(studies.url) as storage, pytest.raises(StudyError, match="--trust-code"):
        export_trial(storage, "own", None, None, date(2026, 11, 26))
    studies.run(more(stored(studies), 6), trusts_code=True)
    assert len(studies.state(experiment)) == 6


def test_a_trial_is_exported_with_the_code_that_it_trained_with(tmp_path, studies: Studies):
    write_net(tmp_path)
    studies.run(own_experiment(tmp_path, space=SPACE))
    write_net(tmp_path, f"{NET}\n    # changed\n")
    studies.run(more(stored(studies), 6), trusts_code=True)

    with Storage.read(studies.url) as storage:
        export_trial(storage, "own", 5, None, date(2026, 11, 26))
        with pytest.raises(StudyError, match="has trial 0, which trained with another version of"):
            export_trial(storage, "own", 0, None, date(2026, 11, 26))
        export_trial(storage, "own", 0, None, date(2026, 11, 26), trusts_code=True)


LOSS = """
import jax.numpy as jnp
import optax

def focal(outputs, y, gamma: float = 2.0, power: float = 1.0):
    entropy = optax.softmax_cross_entropy_with_integer_labels(outputs, y)
    if power > 1.5:
        entropy = entropy**2
    return (1 - jnp.exp(-entropy)) ** gamma * entropy
"""


def with_loss(folder, trials=3):
    (folder / "losses.py").write_text(LOSS)
    document = {
        "name": "focal",
        "data": {"dataset": "iris", "batch_size": 16},
        "model": {"name": "mlp", "widths": [8]},
        "loss": {"python": "losses.py:focal"},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"epochs": 2},
        "space": {"loss.gamma": {"float": [0.5, 3.0]}},
        "search": {
            "objective": {"minimize": "loss"},
            "baselines": False,
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
            "trials": trials,
        },
    }
    return load_document(document, folder)


def test_a_number_that_a_loss_needs_in_python_is_static_and_the_others_share_a_program(
    tmp_path, studies: Studies
):
    outcome = studies.run(with_loss(tmp_path), cache=tmp_path / "fresh")

    assert outcome.progress.programs == 1
    (note,) = studies.state(with_loss(tmp_path)).notes
    assert isinstance(note, Numbers)
    assert note.static == {"loss.power": "losses.py:7, in focal (`if power > 1.5:`)"}
    assert any(
        text.startswith("loss.power is static, because losses.py:7") for text in studies.said
    )
    assert any(text.startswith("Runs losses.py:focal (9 lines, ") for text in studies.said)


def test_a_winner_with_a_loss_of_its_own_trains_again_to_the_same_bits_until_it_changes(
    tmp_path, studies: Studies
):
    best = studies.run(with_loss(tmp_path)).progress.best
    assert best is not None
    path = tmp_path / "best.yaml"
    with Storage.read(studies.url) as storage:
        path.write_text(export_trial(storage, "focal", None, path, date(2026, 1, 1)).text)

    trained = studies.train(load_experiment(path), tmp_path / "model")

    stored_curve = studies.state(with_loss(tmp_path)).metrics[best.number]
    assert [report.metrics for report in trained.curve] == stored_curve
    (tmp_path / "losses.py").write_text(f"{LOSS}\n")
    with pytest.raises(StudyError, match=r"loss\.sha256: losses\.py:focal is another version"):
        studies.train(load_experiment(path), tmp_path / "again")


def test_a_population_does_not_change_a_number_that_is_static(tmp_path, studies: Studies):
    write_net(tmp_path, STATIC)
    experiment = own_experiment(
        tmp_path,
        {"scale": 1.0},
        {"model.scale": {"float": [0.5, 2.0]}},
        search={
            "objective": {"maximize": "accuracy"},
            "baselines": False,
            "sampler": {"name": "random"},
            "scheduler": {"name": "pbt", "interval": 1},
            "trials": 4,
        },
    )

    with pytest.raises(
        HpoError, match=r"space\.model\.scale: pbt changes .* nets\.py:19, in __call"
    ):
        studies.run(experiment)


def test_a_trial_whose_model_cannot_be_built_costs_itself_alone(tmp_path, studies: Studies):
    heads = NET.replace("width: int = 8", "width: int = 8, heads: int = 2").replace(
        "self.scale = scale",
        "self.scale = scale\n            if width % heads: raise ValueError(f'{width} by {heads}')",
    )
    write_net(tmp_path, heads)
    experiment = own_experiment(tmp_path, space={"model.heads": {"choice": [1, 2, 3, 4]}})

    assert studies.run(experiment).reason in ("finished", "exhausted")

    trials = studies.state(experiment).trials
    broken = [trial.number for trial in trials if trial.state is TrialState.DIVERGED]
    assert [trials[number].hparams["model.heads"] for number in broken] == [3]
    assert sorted(trial.epochs for trial in trials) == [0, 2, 2, 2]
    [said] = [text for text in studies.said if "counts as diverged" in text]
    assert f"Trial {broken[0]} counts as diverged (model.heads = 3): model.python: " in said
    assert "nets.py:Net raised ValueError: 8 by 3 (width = 8, heads = 3)" in said
    assert "nets.py:14, in __init__" in said


DATA = """
import numpy as np

def load(path):
    table = np.loadtxt(path, delimiter=";")
    return {"x": table[:, :-1], "y": table[:, -1]}
"""


def test_a_study_of_own_data_says_what_it_runs_and_its_winner_trains_again_elsewhere(
    tmp_path, studies: Studies
):
    (tmp_path / "data.py").write_text(DATA)
    rows = np.random.default_rng(0).standard_normal((40, 3))
    np.savetxt(tmp_path / "table.txt", rows, delimiter=";")
    document = {
        "name": "mine",
        "data": {"dataset": {"python": "data.py:load", "path": "table.txt"}, "batch_size": 8},
        "model": {"name": "mlp", "widths": [4]},
        "optimizer": {"name": "adam"},
        "train": {"epochs": 2},
        "space": {"optimizer.learning_rate": {"float": [0.001, 0.1]}},
        "search": {
            "objective": {"minimize": "rmse"},
            "baselines": False,
            "scheduler": {"name": "none"},
            "trials": 2,
        },
    }
    experiment = load_document(document, tmp_path)
    best = studies.run(experiment).progress.best
    assert best is not None
    assert any(text.startswith("Runs data.py:load (6 lines, sha256 ") for text in studies.said)

    other = tmp_path / "other"
    other.mkdir()
    path = other / "best.yaml"
    with Storage.read(studies.url) as storage:
        path.write_text(export_trial(storage, "mine", None, path, date(2026, 1, 1)).text)
    trained = studies.train(load_experiment(path), other / "model")

    stored_curve = studies.state(experiment).metrics[best.number]
    assert [report.metrics for report in trained.curve] == stored_curve
    (tmp_path / "data.py").write_text(f"{DATA}\n")
    with pytest.raises(StudyError, match=r"another version of data\.py:load"):
        studies.run(more(stored(studies, "mine"), 3))
    with pytest.raises(StudyError, match=r"data\.dataset\.sha256: .*data\.py:load is another"):
        studies.train(load_experiment(path), other / "again")


@pytest.mark.parametrize(
    ("augment", "is_said"),
    [({"python": "more.py:jitter"}, True), ({"python": "more.py:plain"}, False)],
)
def test_that_numbers_of_a_function_are_knobs_is_said_where_they_were_tried(
    tmp_path, augment, is_said
):
    (tmp_path / "more.py").write_text(
        "def jitter(x, key, strength=0.1): ...\ndef plain(x, key): ...\n"
    )
    document = {
        "name": "own",
        "data": {"dataset": "iris"},
        "model": {"name": "mlp", "widths": [4]},
        "augment": augment,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"epochs": 2},
    }
    told = sentence(load_document(document, tmp_path), Numbers({}))
    assert told.startswith("All numbers of your code are knobs") == is_said
