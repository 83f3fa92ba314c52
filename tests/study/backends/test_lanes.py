"""What is checked before a study of lanes is created."""

from dataclasses import replace

import pytest

from hpo.errors import HpoError
from hpo.spec.code.frames import CodeError
from hpo.spec.load import load_document
from hpo.study.backends.backend import backend_of
from hpo.study.backends.lanes import LaneBackend
from hpo.trial import TrialState
from tests.own_code import NET, own_experiment, write_net
from tests.study.whole import an_experiment


@pytest.fixture
def around(studies):
    return replace(studies.around, cache=None)


def test_a_training_of_a_model_trains_in_lanes_on_the_fingerprinted_data(around):
    backend = backend_of(an_experiment(), around, print)

    assert isinstance(backend, LaneBackend)
    assert backend.provenance.data_fingerprint
    assert "cpu" in backend.provenance.device.lower()
    assert "jax" in backend.provenance.versions


def test_a_batch_larger_than_the_data_is_refused_before_the_first_trial(around):
    experiment = an_experiment(space={"data.batch_size": {"int": [8, 4096]}})

    with pytest.raises(HpoError, match="4096 is larger than the 90 training rows"):
        backend_of(experiment, around, print)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (  # each is tried with the values of the others, not only with those of the spec
            {
                "data": {"dataset": "diabetes", "batch_size": "all"},
                "model": {"name": "mlp", "widths": []},
                "optimizer": {"name": "sgd", "learning_rate": 0.01},
                "space": {
                    "optimizer.name": {"choice": ["sgd", "exact"]},
                    "model.widths": {"choice": [[], [4]]},
                },
            },
            r"optimizer\.name: exact solves a linear regression, and this model is not linear",
        ),
        (
            {"space": {"augment.word_dropout": {"float": [0.0, 0.1]}}},
            r"augment\.word_dropout: changes texts as ids of tokens, and these examples are \[4\]",
        ),
        (
            {
                "data": {"dataset": "iris", "batch_size": 8, "device_budget": 2000},
                "space": {
                    "train.average.name": {"choice": ["none", "swa", "ema"]},
                    "model.norm": {"choice": ["none", "batch"]},
                },
            },
            r"train\.average\.name: swa needs all training rows .* in chunks",
        ),
    ],
)
def test_techniques_that_some_trial_could_not_have_are_refused_before_the_first_trial(
    around, parts, says
):
    search = {"objective": {"minimize": "loss"}, "trials": 4, "baselines": False}
    experiment = an_experiment(**{"search": search, "train": {"epochs": 2}, **parts})

    with pytest.raises(HpoError, match=says):
        backend_of(experiment, around, print)


def test_an_own_model_whose_outputs_do_not_fit_is_refused_before_the_first_trial(around, tmp_path):
    write_net(tmp_path, NET.replace("nnx.Linear(width, outputs", "nnx.Linear(width, 5"))
    experiment = own_experiment(tmp_path, space={"model.rate": {"float": [0.0, 0.5]}})

    with pytest.raises(
        HpoError, match=r"have the shape \[rows, 5\], and the data need \[rows, 3\]"
    ):
        backend_of(experiment, around, print)


NOT_FIFTEEN = "len(x) if len(x) != 15 else 30"


@pytest.mark.parametrize(
    ("size", "sizes", "says"),
    [
        ("32", [16], "shape (16, 4) (size 64) into shape (32, 4)"),
        ("16", [16], "shape (30, 4) (size 120) into shape (16, 4)"),  # as many rows judge it
        (NOT_FIFTEEN, [30, 15], "for a batch of shape [15, 4] in training: take the number of"),
    ],
)
def test_a_model_for_another_size_of_batch_is_refused_before_the_first_trial(
    around, tmp_path, size, sizes, says
):
    line = f"x = x.reshape({size}, 4)"
    write_net(tmp_path, NET.replace("x = nnx.relu(", f"{line}\n            x = nnx.relu("))
    experiment = own_experiment(
        tmp_path,
        space={"data.batch_size": {"choice": sizes}},
        data={"dataset": "iris", "batch_size": sizes[0]},
    )

    with pytest.raises(CodeError) as raised:
        backend_of(experiment, around, print)

    said, place = str(raised.value).splitlines()
    assert said.startswith("model.python: nets.py:Net raised TypeError: cannot reshape array of ")
    assert says in said
    assert place == f"  nets.py:16, in __call__: {line}"


def test_a_model_that_gives_another_number_of_rows_is_refused_with_both_shapes(around, tmp_path):
    write_net(tmp_path, NET.replace("self.head(x) *", "self.head(x)[:12] *"))
    experiment = own_experiment(tmp_path, space={"model.rate": {"float": [0.0, 0.5]}})

    with pytest.raises(
        CodeError,
        match=r"have the shape \[12, 3\] for a batch of shape \[16, 4\] in training, and the data "
        r"need \[16, 3\]: take the number of rows from len\(x\)",
    ):
        backend_of(experiment, around, print)


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (
            "raise OSError('sure')",
            "OSError: sure\n  metrics.py:4, in unsure: raise OSError('sure')",
        ),
        ("return float('nan')", "metrics.py:unsure gives nan for 30 rows: give a finite number"),
        ("return predictions", "gives an array of shape [30, 3] and type float64 for 30 rows"),
    ],
)
def test_a_metric_that_fails_for_some_trials_costs_these_alone(studies, tmp_path, fails, says):
    source = f"""def unsure(predictions, y):
    confidence = predictions.max(1).mean()
    if confidence > 0.7:
        {fails}
    return 1 - confidence
"""
    (tmp_path / "metrics.py").write_text(source)
    experiment = judged(tmp_path, [1e-6, 0.3])

    studies.run(experiment)

    state = studies.state(experiment)
    ends = {trial.hparams["optimizer.learning_rate"]: trial.state for trial in state.trials}
    assert ends == {1e-6: TrialState.COMPLETE, 0.3: TrialState.DIVERGED}
    (told,) = [text for text in studies.said if "counts as diverged" in text]
    assert "(optimizer.learning_rate = 0.3): train.metrics: " in told
    assert says in told


def test_a_metric_that_fails_on_all_real_predictions_stops_the_search(studies, tmp_path):
    # Only its first call, before any trial, goes well.
    source = """calls = []
def unsure(predictions, y):
    calls.append(y)
    return 0.5 if len(calls) == 1 else y.nothing
"""
    (tmp_path / "metrics.py").write_text(source)
    experiment = judged(tmp_path, [n / 1000 for n in range(1, 13)])

    with pytest.raises(
        CodeError, match=r"^the first 5 trials all failed.*--new\.\n  metrics\.py:4"
    ):
        studies.run(experiment)


def judged(folder, rates):
    """A search of some learning rates, judged by the metric `unsure` of `metrics.py`."""
    return load_document(
        {
            "name": "judged",
            "data": {"dataset": "iris", "batch_size": 16},
            "model": {"name": "mlp", "widths": [8]},
            "optimizer": {"name": "adam"},
            "train": {"epochs": 4},
            "space": {"optimizer.learning_rate": {"choice": rates}},
            "search": {
                "objective": {"maximize": {"python": "metrics.py:unsure"}},
                "baselines": False,
                "sampler": {"name": "grid"},
                "scheduler": {"name": "none"},
                "trials": len(rates),
            },
        },
        folder,
    )


def test_unbalanced_classes_are_said_by_the_first_run_alone(studies, tmp_path):
    rows = [f"{row % 7},{'rare' if row % 20 == 0 else 'usual'}" for row in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["a,y", *rows]))
    data = {"dataset": {"csv": str(tmp_path / "t.csv"), "target": "y"}, "batch_size": 64}
    train, search = (
        {"epochs": 1},
        {"objective": {"maximize": "accuracy"}, "trials": 1, "baselines": False},
    )

    for trials in (1, 2):
        studies.run(an_experiment(data=data, train=train, search=search | {"trials": trials}))

    assert sum("The classes are unbalanced: 'rare' has" in text for text in studies.said) == 1
