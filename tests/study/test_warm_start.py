"""What a study learns from earlier studies and from its own earlier space."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hpo.errors import StudyError
from hpo.space import RangeMove
from hpo.spec.load import experiment_from_document
from hpo.study.log.event_rows import from_rows, to_row
from hpo.study.log.events import Cost, End, Propose, Report, StudyState, fold
from hpo.study.log.notes import Engine, Learn, Move, note_from
from hpo.study.storage.lease import acquire
from hpo.study.storage.provenance import Provenance
from hpo.study.storage.tables import Storage
from hpo.study.warm_start import (
    check_sources,
    learnt_from_sources,
    noted_sources,
    resampled,
    spread,
    warm_start_of,
)
from hpo.trial import Exploit, Trial, TrialState

DOCUMENT = {
    "name": "here",
    "data": {"dataset": "iris"},
    "model": {"name": "mlp", "dropout": 0.1},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "train": {"epochs": 2},
    "space": {"model.dropout": {"float": [0.0, 0.3]}, "model.norm": {"choice": ["none", "layer"]}},
    "search": {"objective": {"maximize": "accuracy"}, "trials": 10, "baselines": False},
}


def an_experiment(**parts):
    search = {**DOCUMENT["search"], **parts.pop("search", {})}
    return experiment_from_document({**DOCUMENT, **parts, "search": search}, Path())


class Pen:
    """A journal that stores nothing."""

    def __init__(self, objective):
        self.state = StudyState(objective)

    def record(self, what, trial=None):
        self.state.record(what, trial, 0)

    def flush(self): ...

    def train(self, hparams, *accuracies, **costs):
        number = len(self.state)
        self.record(Propose(hparams, 0), number)
        if costs:
            self.record(Cost(costs), number)
        for epoch, accuracy in enumerate(accuracies, start=1):
            self.record(Report(epoch, {"accuracy": accuracy, "loss": 1 - accuracy}), number)
        if len(accuracies) > 1:
            self.record(End(TrialState.COMPLETE), number)


def store(storage, experiment, trials, fingerprint="data-1"):
    """A study with these trials: hparams and an accuracy for each epoch."""

    def write(pen):
        for hparams, accuracies in trials:
            pen.train(hparams, *accuracies)

    return store_log(storage, experiment, write, fingerprint)


def store_log(storage, experiment, write, fingerprint="data-1"):
    """A study with what `write` writes with a pen."""
    provenance = Provenance({}, "2 x cpu", fingerprint).to_document()
    study = storage.create_study(experiment.name, experiment.document, 0, provenance, fingerprint)
    pen = Pen(experiment.search.goal)
    events = []
    pen.record = lambda what, trial=None: events.append(pen.state.record(what, trial, 0))
    write(pen)
    with acquire(storage, study.id) as lease:
        storage.append(study.id, events, lease.token)
    return study


TRIALS = [
    ({"model.dropout": 0.2, "optimizer.learning_rate": 0.01}, (0.5, 0.7)),
    ({"model.dropout": 0.5, "optimizer.learning_rate": 0.01}, (0.6, 0.9)),
    ({"model.dropout": 0.1, "optimizer.learning_rate": 0.02}, (0.6, 0.8)),
    ({"model.dropout": 0.0, "optimizer.learning_rate": 0.02}, (0.9,)),  # not trained in full
    ({"model.dropout": 0.3, "optimizer.learning_rate": 0.02}, (0.1, 0.2)),
]
THERE = {
    "model.dropout": {"float": [0.0, 0.6]},
    "optimizer.learning_rate": {"choice": [0.01, 0.02]},
}


@pytest.fixture
def there(storage):
    store(storage, an_experiment(name="there", space=THERE), TRIALS)


def learn(storage, experiment, notes=(), fingerprint="data-1", device="2 x cpu", *, learns=True):
    said, provenance = [], Provenance({}, device, fingerprint)
    found = learnt_from_sources(experiment, storage, provenance, notes, said.append, learns=learns)
    return found, said


def test_the_best_of_an_earlier_study_are_tried_first_and_its_results_are_shown(storage, there):
    experiment = an_experiment(search={"from": ["there"], "start": [{"model.norm": "layer"}]})
    (note,), said = learn(storage, experiment)
    assert said == ["From there: 3 configurations to try first, and 3 results for the sampler."]
    # 0.5 is moved to the nearest that this space has; what does not vary there has its value there.
    assert [point["model.dropout"] for point in note.points] == [0.3, 0.1, 0.2]
    assert [point["model.norm"] for point in note.points] == ["none"] * 3
    # A result must be of the very configuration: that at 0.5 is not shown.
    assert [trial.hparams["model.dropout"] for trial in note.trials] == [0.1, 0.2, 0.3]
    assert note.trials[0].losses == (-0.6, -0.8)
    assert note.is_comparable

    pen = Pen(experiment.search.goal)
    pen.record(note)
    known = warm_start_of(experiment, pen, said.append)
    assert [point["model.dropout"] for point in known.points] == [0.1, 0.3, 0.1, 0.2]
    assert known.points[0]["model.norm"] == "layer"
    assert known.studies[0].trials == note.trials
    assert known.translated == {}


def test_lessons_are_stored_in_the_log_and_not_read_again(storage, there):
    experiment = an_experiment(search={"from": ["there"]})
    (note,), _ = learn(storage, experiment)
    assert learn(storage, experiment, [note]) == ([], [])
    state = StudyState(experiment.search.goal)
    move = Move(RangeMove("model.dropout", 0.0, 0.4, 20, "because", (0.0, 0.3)))
    rows = [to_row(state.record(what, None, 0)) for what in (note, move)]
    again = fold(from_rows(rows), experiment.search.goal)
    assert again.notes == [note, move] == state.notes
    assert str(move) == "model.dropout ranges from 0 to 0.4 after 20 trials: because."


@pytest.mark.parametrize(
    ("parts", "fingerprint"),
    [
        ({"train": {"epochs": 4}}, "data-1"),
        ({}, "data-2"),
        ({"search": {"objective": {"minimize": "train_loss"}}}, "data-1"),  # not measured there
    ],
)
def test_another_problem_is_not_comparable(storage, there, parts, fingerprint):
    search = {**parts.get("search", {}), "from": ["there"]}
    (note,), _ = learn(storage, an_experiment(**{**parts, "search": search}), (), fingerprint)
    assert not note.is_comparable
    epochs = parts.get("train", {"epochs": 2})["epochs"]
    assert all(len(trial.losses) == epochs for trial in note.trials)


def test_a_study_of_another_database_is_read(storage, tmp_path):
    with Storage.create(f"sqlite:///{tmp_path / 'other.db'}") as other:
        store(other, an_experiment(name="there", space=THERE), TRIALS)
    source = f"sqlite:///{tmp_path / 'other.db'}#there"
    (note,), _ = learn(storage, an_experiment(search={"from": [source]}))
    assert note.source == source
    assert len(note.points) == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("their", "search.from: .* has no study 'their'. Did you mean 'there'"),
        ("here", "search.from: 'here' is this study itself: name another"),
        (
            "sqlite:///none.db#there",
            "search.from: no study database at none.db: name an existing database and a study",
        ),
        ("sqlite:///bare.db#there", "search.from: bare.db holds no studies: name an existing"),
        ("sqlite:///empty.db#there", "search.from: empty.db holds no studies: name an existing"),
    ],
)
@pytest.mark.parametrize("where", ["learn", "check"])
def test_a_source_that_cannot_be_read_is_the_users_to_fix(
    storage, there, source, message, where, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.db").touch()
    Storage.create("sqlite:///empty.db").close()
    experiment = an_experiment(search={"from": [source]})
    with pytest.raises(StudyError, match=message) as error:
        learn(storage, experiment) if where == "learn" else check_sources(experiment, storage)
    assert "hpo search" not in str(error.value)


def test_a_source_that_was_learnt_from_may_be_gone(storage):
    experiment = an_experiment(search={"from": ["gone"]})
    with pytest.raises(StudyError, match=r"search\.from"):
        check_sources(experiment, storage)
    check_sources(experiment, storage, noted_sources([Learn("gone", True, (), ()), "another"]))


def test_a_study_is_refused_as_its_own_source_by_any_path(storage, there, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("hpo.db")
    for url in ("sqlite:///hpo.db", f"sqlite:///{tmp_path}/./hpo.db", "sqlite:///link.db"):
        with pytest.raises(StudyError, match=r"search\.from: 'here' is this study itself"):
            learn(storage, an_experiment(search={"from": [f"{url}#here"]}))
        (note,), _ = learn(storage, an_experiment(search={"from": [f"{url}#there"]}))
        assert len(note.points) == 3
    # A study of that name elsewhere is another.
    with Storage.create(f"sqlite:///{tmp_path / 'other.db'}") as other:
        store(other, an_experiment(space=THERE), TRIALS)
    (note,), _ = learn(storage, an_experiment(search={"from": ["sqlite:///other.db#here"]}))
    assert len(note.points) == 3


def a_population(*own):
    """Writes trials: those in `own` as they are, then one that goes on from the first of all."""

    def write(pen):
        for hparams, accuracies in own:
            pen.train(hparams, *accuracies)
        number = len(pen.state)
        pen.train({"model.dropout": 0.3}, float("nan"))
        pen.record(Exploit(0, 1, {"model.dropout": 0.25}), number)
        pen.record(Report(2, {"accuracy": 0.99, "loss": 0.01}), number)
        pen.record(End(TrialState.COMPLETE), number)

    return write


def test_a_trial_that_copied_weights_is_not_a_result_of_its_hparams(storage):
    population = an_experiment(name="there", space=THERE)
    own = [({"model.dropout": rate}, (0.5, 0.6 + rate)) for rate in (0.1, 0.2)]
    store_log(storage, population, a_population(*own))
    state = fold(storage.events(storage.study("there").id), population.search.goal)
    assert math.isinf(state.trial(2).losses[0])
    assert state.trial(2).exploited == 1
    experiment = an_experiment(search={"from": ["there"]})
    (note,), _ = learn(storage, experiment)
    assert [trial.number for trial in note.trials] == [1, 0]
    assert [point["model.dropout"] for point in note.points] == [0.2, 0.1]
    # It can be stored.
    row = to_row(StudyState(experiment.search.goal).record(note, None, 0))
    assert fold(from_rows([row]), experiment.search.goal).notes == [note]


def test_if_all_trials_copied_weights_the_best_is_tried_and_none_is_a_result(storage):
    store_log(
        storage,
        an_experiment(name="there", space=THERE),
        a_population(({"model.dropout": 0.1}, (0.5,))),
    )
    (note,), said = learn(storage, an_experiment(search={"from": ["there"]}))
    assert [point["model.dropout"] for point in note.points] == [0.25]
    assert note.trials == ()
    assert said == ["From there: 1 configuration to try first, and 0 results for the sampler."]


def test_no_results_are_promised_to_a_sampler_that_does_not_learn(storage, there):
    (note,), said = learn(storage, an_experiment(search={"from": ["there"]}), learns=False)
    assert said == ["From there: 3 configurations to try first, and 0 results for the sampler."]
    assert str(note) == said[0]
    assert len(note.points) == 3


def test_trials_outside_the_space_are_reported_and_hidden_from_the_sampler():
    experiment = an_experiment()
    pen = Pen(experiment.search.goal)
    pen.train({"model.dropout": 0.2}, 0.5, 0.6)
    pen.train({"model.dropout": 0.5}, 0.5, 0.6)
    said = []
    known = warm_start_of(experiment, pen, said.append)
    assert known.translated == {0: {"model.dropout": 0.2, "model.norm": "none"}, 1: None}
    assert said == [
        "Outside the present space: 1 of 2 trials. Such trials stay in the study,"
        " and the sampler does not learn from them."
    ]


def test_a_range_that_has_moved_leaves_no_trial_outside():
    space = {"model.dropout": {"float": [0.1, 0.3], "adapt": [0.0, 0.8]}}
    experiment = an_experiment(space=space)
    pen = Pen(experiment.search.goal)
    pen.train({"model.dropout": 0.7}, 0.5, 0.6)
    said = []
    known = warm_start_of(experiment, pen, said.append)
    assert known.translated == {}
    known.record(RangeMove("model.dropout", 0.1, 0.5, 20, "because"))
    assert [move.high for move in known.moves()] == [0.5]
    assert said == ["model.dropout ranges from 0.1 to 0.5 after 20 trials: because."]


def test_a_curve_keeps_its_shape_over_other_epochs():
    assert resampled((3.0, 2.0, 1.0), 3) == (3.0, 2.0, 1.0)
    assert resampled((2.0, 1.0), 4) == (2.0, 2.0, 1.0, 1.0)
    assert resampled((4.0, 3.0, 2.0, 1.0), 2) == (3.0, 1.0)
    assert resampled((1.0,), 3) == (1.0, 1.0, 1.0)


def test_many_results_are_thinned_out_from_the_best_to_the_worst():
    trials = [Trial(n, {}) for n in range(1000)]
    kept = spread(trials, 100)
    assert len(kept) == 100
    assert (kept[0], kept[-1]) == (trials[0], trials[-1])
    assert spread(trials[:5], 100) == trials[:5]


def test_trials_that_break_the_constraints_come_last_and_reach_the_sampler(storage, there):
    bound = {"metric": "accuracy", "at_most": 0.75}
    experiment = an_experiment(search={"from": ["there"], "constraints": [bound]})
    (note,), _ = learn(storage, experiment)
    # The accuracies are 0.7, 0.9, 0.8 and 0.2; best first are those that are allowed.
    assert [point["model.dropout"] for point in note.points] == [0.2, 0.3, 0.1]
    assert [trial.hparams["model.dropout"] for trial in note.trials] == [0.2, 0.3, 0.1]
    assert [trial.violation for trial in note.trials] == [0, 0, pytest.approx(0.05 / 0.75)]
    assert note_from("learn", note.to_value()) == note
    older = note.to_value()
    older["trials"] = [trial[:3] for trial in older["trials"]]
    assert [trial.violation for trial in note_from("learn", older).trials] == [0, 0, 0]


BOTH = {"objective": [{"maximize": "accuracy"}, {"minimize": "parameters"}]}
DROPOUTS = {"model.dropout": {"float": [0.0, 0.95]}}
# By dropout; the front by accuracy and parameters is 0.9, 0.2, 0.6, 0.5, 0.1, from end to end.
ON_TWO = {
    0.1: (0.50, 100),
    0.2: (0.90, 900),
    0.3: (0.60, 950),
    0.4: (0.40, 500),
    0.5: (0.60, 150),
    0.6: (0.80, 500),
    0.7: (0.89, 890),
    0.8: (0.10, 960),
    0.9: (0.91, 1000),
}


@pytest.fixture
def of_two(storage):
    """A study with two objectives."""

    def write(pen):
        for rate, (accuracy, parameters) in ON_TWO.items():
            pen.train({"model.dropout": rate}, 0.1, accuracy, parameters=parameters)

    store_log(storage, an_experiment(name="there", space=DROPOUTS, search=BOTH), write)


def learn_of_two(storage, objective=BOTH["objective"], **search):
    search = {"from": ["there"], "objective": objective, **search}
    experiment = an_experiment(name="here", space=DROPOUTS, search=search)
    (note,), said = learn(storage, experiment)
    return note, said, experiment


def rates(points):
    return [point["model.dropout"] for point in points]


def test_several_objectives_take_points_along_the_front_and_every_value(storage, of_two):
    note, said, experiment = learn_of_two(storage)
    # The best of each, and what is farthest from both.
    assert rates(note.points) == [0.9, 0.1, 0.6]
    assert said == ["From there: 3 configurations to try first, and 9 results for the sampler."]
    assert note.is_comparable
    told = {trial.hparams["model.dropout"]: trial for trial in note.trials}
    assert {rate: trial.values for rate, trial in told.items()} == {
        rate: (-accuracy, parameters) for rate, (accuracy, parameters) in ON_TWO.items()
    }
    assert told[0.9].losses == (-0.1, -0.91)
    # From the front to what most others beat.
    assert list(told) == [0.9, 0.2, 0.7, 0.6, 0.5, 0.1, 0.3, 0.4, 0.8]
    # What was noted is what the sampler is told after a resume.
    row = to_row(StudyState(experiment.search.goal).record(note, None, 0))
    again = fold(from_rows([row]), experiment.search.goal)
    assert again.notes == [note]
    pen = Pen(experiment.search.goal)
    pen.record(again.notes[0])
    assert warm_start_of(experiment, pen, said.append).studies[0].trials == note.trials


def test_the_order_of_the_objectives_is_that_of_the_study_that_learns(storage, of_two):
    note, _, _ = learn_of_two(
        storage, [{"minimize": "loss"}, {"minimize": "parameters"}, {"maximize": "accuracy"}]
    )
    # The loss here is what the accuracy leaves to 1.
    values = {trial.hparams["model.dropout"]: trial.values for trial in note.trials}
    assert values[0.6] == (pytest.approx(0.2), 500, -0.8)
    assert note.trials[0].losses == (0.9, pytest.approx(0.09))
    # One more than there are objectives.
    assert rates(note.points) == [0.9, 0.1, 0.6, 0.5]


def test_points_keep_the_constraints_first(storage, of_two):
    bound = {"metric": "parameters", "at_most": 520}
    note, _, _ = learn_of_two(storage, constraints=[bound])
    assert rates(note.points) == [0.6, 0.1, 0.5]
    assert [t.hparams["model.dropout"] for t in note.trials if t.violation == 0] == [
        *(0.6, 0.5, 0.1),
        0.4,
    ]
    bound = {"metric": "parameters", "at_most": 120}
    note, _, _ = learn_of_two(storage, constraints=[bound])
    # Then what breaks them least.
    assert rates(note.points) == [0.1, 0.5, 0.6]


@pytest.mark.parametrize(
    ("objective", "best"),
    [
        ({"maximize": "accuracy"}, [0.9, 0.2, 0.7]),
        ({"minimize": "loss"}, [0.9, 0.2, 0.7]),  # no objective there, but measured
        ({"minimize": "accuracy"}, [0.8, 0.4, 0.1]),
    ],
)
def test_one_objective_alone_ranks_a_study_of_several(storage, of_two, objective, best):
    note, said, _ = learn_of_two(storage, objective)
    assert rates(note.points) == best
    assert rates(trial.hparams for trial in note.trials)[:3] == best
    assert all(trial.values == () for trial in note.trials)
    assert note.is_comparable
    assert said == ["From there: 3 configurations to try first, and 9 results for the sampler."]


def test_a_study_of_several_objectives_learns_of_one_where_their_metrics_were_measured(storage):
    def write(pen):
        for rate, (accuracy, parameters) in ON_TWO.items():
            pen.train({"model.dropout": rate}, 0.1, accuracy, parameters=parameters)

    store_log(storage, an_experiment(name="there", space=DROPOUTS), write)
    note, _, _ = learn_of_two(storage)
    assert rates(note.points) == [0.9, 0.1, 0.6]
    assert len(note.trials) == 9


@pytest.mark.parametrize(
    ("metric", "device", "engine", "is_comparable"),
    [
        ("latency_ms", "2 x cpu", "onnxruntime", True),
        ("latency_ms", "2 x cpu", "JAX", False),
        ("latency_ms", "1 x H200", "onnxruntime", False),
        ("parameters", "1 x H200", "JAX", True),
    ],
)
def test_times_of_another_machine_or_engine_are_not_comparable(
    storage, metric, device, engine, is_comparable
):
    both = [{"maximize": "accuracy"}, {"minimize": metric}]
    there = an_experiment(name="there", search={"objective": both})

    def write(pen):
        pen.record(Engine(engine))
        pen.train({"model.dropout": 0.1}, 0.1, 0.2, **{metric: 5})

    store_log(storage, there, write)
    experiment = an_experiment(search={"from": ["there"], "objective": both})
    (note,), _ = learn(storage, experiment, device=device)
    assert note.is_comparable == is_comparable
    assert [trial.values for trial in note.trials] == [(-0.2, 5)]


def test_without_a_metric_there_are_no_results_and_the_reason_is_given(storage, of_two):
    objective = [{"maximize": "accuracy"}, {"minimize": "flops"}, {"minimize": "latency_ms"}]
    note, said, experiment = learn_of_two(storage, objective)
    # Still, the earlier study's own front is worth a try.
    assert rates(note.points) == [0.9, 0.1, 0.6]
    assert note.trials == ()
    assert not note.is_comparable
    assert said == [
        "From there: 3 configurations to try first, and 0 results for the sampler, because it has"
        " not measured flops and latency_ms."
    ]
    row = to_row(StudyState(experiment.search.goal).record(note, None, 0))
    (again,) = fold(from_rows([row]), experiment.search.goal).notes
    assert str(again) == said[0]


def test_losses_noted_by_an_earlier_version_do_not_serve_several_objectives():
    experiment = an_experiment(space=DROPOUTS, search=BOTH)
    older = {
        "source": "there",
        "is_comparable": True,
        "points": [{"model.dropout": 0.1}],
        "trials": [[0, {"model.dropout": 0.1}, [-0.5, -0.6], 0.0]],
    }
    pen = Pen(experiment.search.goal)
    pen.record(note_from("learn", older))
    known = warm_start_of(experiment, pen, [].append)
    assert known.studies[0].trials == ()
    assert rates(known.points) == [0.1]


def test_a_stored_spec_opens_no_other_database(storage, tmp_path):
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with Storage.create(other) as there:
        store(there, an_experiment(name="there"), TRIALS)
    store(storage, an_experiment(name="beside"), TRIALS)
    for source in (f"{other}#there", "postgresql://me:secret@192.0.2.1/db#there"):
        stored = replace(an_experiment(search={"from": [source]}), is_stored=True)
        with pytest.raises(StudyError, match=r"is named by the stored spec alone") as error:
            check_sources(stored, storage)
        assert "secret" not in str(error.value)
        check_sources(stored, storage, {source.replace(":secret", "")})  # it learnt from it before

    check_sources(replace(an_experiment(search={"from": ["beside"]}), is_stored=True), storage)
    check_sources(an_experiment(search={"from": [f"{other}#there"]}), storage)


def test_no_note_of_a_source_holds_its_password():
    note = Learn("postgresql://me:secret@host/db#there", True, (), ())

    assert noted_sources([note]) == {"postgresql://me@host/db#there"}
    assert str(note).startswith("From postgresql://me@host/db#there: ")
