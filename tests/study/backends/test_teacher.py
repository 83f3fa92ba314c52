"""Studies whose models learn the answers of a trained one."""

import json
from datetime import date
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import softmax

from hpo.data import remote
from hpo.data.load import load_data
from hpo.data.readers.bundled import read_iris
from hpo.data.source import Source
from hpo.engine.program import split
from hpo.engine.training.compression.distillation import ANSWERS
from hpo.engine.training.compression.teaching import answers_of, of_fold
from hpo.errors import HpoError, StudyError
from hpo.report.check import check_summary
from hpo.report.export import export_trial
from hpo.spec.load import load_document, load_experiment
from hpo.spec.marks import with_leaves
from hpo.study.backends.pretrained import weights_of
from hpo.study.backends.teacher import taught_by, teacher_plan
from hpo.study.storage.tables import Storage
from hpo.trained.model import load_model
from hpo.trial import TrialState
from tests.study.whole import DOCUMENT, Studies

TEACHER = {"teacher": {"from": "big"}}
OWN_MODEL = """
from flax import nnx


class Plain(nnx.Module):
    def __init__(self, in_features, outputs, *, rngs):
        self.layer = nnx.Linear(in_features, outputs, rngs=rngs)

    def __call__(self, x):
        return self.layer(x)
"""
LATER = {"name": "linear", "to": 0.1}


def searched(folder: Any, *overrides: str, **parts: Any) -> Any:
    search = {**DOCUMENT["search"], "scheduler": {"name": "none"}, "trials": 3}
    document = {**DOCUMENT, "compression": TEACHER, "search": search}
    return load_document({**document, **parts}, folder, overrides)


def trained(studies: Studies, folder: Any, *overrides: str) -> None:
    alone = {name: part for name, part in DOCUMENT.items() if name not in ("space", "search")}
    studies.train(load_document(alone, folder, ("train.epochs=4", *overrides)), folder / "big")


def plain_and_taught(experiment: Any) -> tuple[Any, Any]:
    """The data of an experiment, and the same with what its teacher adds."""
    folder, plan = experiment.folder, teacher_plan(experiment)
    assert plan is not None
    section = experiment.training.data
    data = load_data(section, folder, None)

    def reread(leaves: Any) -> Any:
        return load_data(with_leaves(section, leaves), folder, None)

    return data, taught_by(plan, data, reread)


def by_hand(weights: Any, x: Any) -> Any:
    """The outputs of a perceptron, in float64."""
    at = x.astype(np.float64)
    for _, layer in sorted(weights["params"].get("linears", {}).items()):
        at = np.maximum(at @ np.float64(layer["kernel"]) + np.float64(layer["bias"]), 0)
    head = weights["params"]["head"]
    return at @ np.float64(head["kernel"]) + np.float64(head["bias"])


def mean_by_hand(members: Any, x: Any) -> Any:
    """The outputs whose chances are the mean of those of these members; those of a single one."""
    if len(members) == 1:
        return by_hand(members[0].weights, x)
    return np.log(np.mean([softmax(by_hand(m.weights, x), axis=-1) for m in members], axis=0))


@pytest.fixture
def big(studies, tmp_path):
    """A folder in which a larger model for iris lies in `big`."""
    trained(studies, tmp_path, "model.widths=[32, 32]")
    return tmp_path


def test_a_study_learns_from_its_teacher_and_its_winner_trains_again(studies, big):
    whole = searched(big)
    assert studies.run(whole).progress.best is not None
    plain = searched(big, "name=plain", compression={})
    studies.run(plain)
    assert studies.curves(whole) != studies.curves(plain)

    (big / "x").mkdir()
    with Storage.read(studies.url) as storage:
        text = export_trial(
            storage, "flowers", None, big / "x" / "best.yaml", date(2026, 11, 27)
        ).text
    (big / "x" / "best.yaml").write_text(text)
    best = load_experiment(big / "x" / "best.yaml")
    assert [*weights_of(best).values()] == [*weights_of(whole).values()]
    again = studies.train(best, big / "x" / "model")
    assert [report.metrics for report in again.curve] in studies.curves(whole)

    (big / "big").rename(big / "before")
    trained(studies, big, "model.widths=[32, 32]", "train.seed=5")
    with pytest.raises(StudyError, match=r"began with other weights in big \(sha256 \w{8}, now"):
        studies.run(searched(big, "search.trials=9"))


def test_a_share_bits_and_a_temperature_vary_in_one_program(studies, big, tmp_path):
    space = {
        "compression.sparsity.share": {"float": [0.0, 0.9]},
        "compression.weights.bits": {"int": [2, 8]},
        "compression.weights.layers.last": {"int": [2, 8]},
        "compression.activations.bits": {"int": [2, 8]},
        "compression.teacher.temperature": {"float": [1.0, 10.0], "log": True},
    }
    parts = {"sparsity": {"name": "magnitude"}, "weights": {"name": "integer"}}
    compression = {**TEACHER, **parts, "activations": {"bits": 8}}
    experiment = searched(big, "search.trials=6", compression=compression, space=space)
    outcome = studies.run(experiment, cache=tmp_path / "fresh")

    assert (outcome.progress.programs, check_summary(experiment).programs) == (1, 1)
    trials = studies.state(experiment).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for path in space:
        assert len({trial.hparams[path] for trial in trials}) > 1
    assert len({repr(curve) for curve in studies.curves(experiment)}) == 6


def test_a_winner_that_follows_features_trains_again_and_keeps_no_map(studies, big):
    space = {
        **DOCUMENT["space"],
        "compression.teacher.match": {"choice": ["features", "both"]},
        "model.widths": {"choice": [[6], [8]]},
    }
    search = {**DOCUMENT["search"], "trials": 4}
    whole = searched(big, space=space, search=search)
    assert studies.run(whole).progress.best is not None
    with Storage.read(studies.url) as storage:
        text = export_trial(storage, "flowers", None, big / "best.yaml", date(2026, 11, 27)).text
    (big / "best.yaml").write_text(text)
    best = load_experiment(big / "best.yaml")
    again = studies.train(best, big / "model")
    assert [report.metrics for report in again.curve] in studies.curves(whole)
    (member,) = load_model(big / "model").members
    assert member.weights["params"].keys() == {"head", "linears"}

    features = "compression.teacher.match=features"
    linear = searched(big, "model.widths=[]", features, name="linear")
    with pytest.raises(HpoError, match=r"teacher\.match: this model has no model\.activation"):
        studies.run(linear)
    (big / "big").rename(big / "before")
    trained(studies, big, "model.widths=[]")
    with pytest.raises(HpoError, match=r"from: 'big' has no model\.activation, whose features"):
        studies.run(searched(big, features, name="of-linear"))


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_answers_are_those_that_the_model_predicts(studies, tmp_path, seeds):
    trained(studies, tmp_path, f"train.seeds={seeds}")
    data, taught = plain_and_taught(searched(tmp_path))

    every, flowers = read_iris(), data.transform.apply(read_iris())
    predicted = load_model(tmp_path / "big").predictions(every)
    chances = softmax(taught.train.arrays[ANSWERS].astype(np.float64), axis=-1)
    for row, own in zip(data.train.x, chances, strict=True):
        (same, *_) = np.flatnonzero((flowers == row).all(-1))
        np.testing.assert_allclose(own, predicted[same], atol=1e-6)
    assert (taught.train.x == data.train.x).all()
    assert [*taught.validation.arrays] == [*data.validation.arrays]


def test_extra_rows_have_answers_too(studies, tmp_path):
    x = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8) % 17
    np.savez(tmp_path / "more.npz", x=x, y=[1, 2, 3])
    digits = {"data": {**DOCUMENT["data"], "dataset": "digits", "extra": "more.npz"}}
    alone = {n: part for n, part in {**DOCUMENT, **digits}.items() if n not in ("space", "search")}
    studies.train(load_document(alone, tmp_path, ("train.epochs=1",)), tmp_path / "big")
    data, taught = plain_and_taught(searched(tmp_path, **digits))

    assert taught.extra is not None
    np.testing.assert_array_equal(taught.extra.x, data.extra.x)
    np.testing.assert_array_equal(taught.train.x, data.train.x)
    new = Source(x=x[..., None], y=np.zeros(3), target="x")
    chances = softmax(taught.resident[ANSWERS][-3:].astype(np.float64), axis=-1)
    np.testing.assert_allclose(chances, load_model(tmp_path / "big").predictions(new), atol=1e-5)


def test_a_teacher_of_other_rows_is_refused(studies, big):
    with pytest.raises(HpoError, match=r"from: 'big' was trained on other rows, or makes its feat"):
        studies.run(searched(big, "data.validation=0.3"))
    with pytest.raises(HpoError, match="no_such"):
        studies.run(searched(big, "compression.teacher.from=no_such"))


@pytest.mark.parametrize(
    ("asked", "in_step"),
    [
        ({}, False),
        ({"augment": {"gaussian_noise": 0.1}}, True),
        ({"space": {"augment.swap_noise": {"float": [0.0, 0.2]}}}, True),
        ({"train": {"epochs": 4, "schedules": {"augment.gaussian_noise": LATER}}}, True),
        ({"attack": {"epsilon": 0.1}}, False),
        ({"compression": {"teacher": {"from": "big", "similarity": 1.0}}}, True),
    ],
)
def test_it_answers_in_the_step_if_a_trial_may_change_its_rows(tmp_path, asked, in_step):
    plan = teacher_plan(searched(tmp_path, **asked))
    assert plan is not None
    assert plan.in_step == in_step
    assert teacher_plan(searched(tmp_path, compression={})) is None


@pytest.mark.parametrize("path", ["augment.gaussian_noise", "compression.teacher.similarity"])
def test_it_answers_a_winner_as_it_answered_the_trials_of_its_study(tmp_path, path):
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    winner = {**alone, "compression": TEACHER, "train": {"epochs": 4, "varying": [path]}}
    plan = teacher_plan(load_document(winner, tmp_path))
    assert plan is not None
    assert plan.in_step


def test_small_images_learn_from_a_teacher_of_whole_ones(studies, tmp_path):
    section = {"dataset": "digits", "batch_size": 16, "rows": 120}
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    studies.train(load_document({**alone, "data": section}, tmp_path), tmp_path / "big")
    training = load_document({**alone, "data": section}, tmp_path).training
    whole = load_data(training.data, tmp_path, None)
    data, taught = plain_and_taught(searched(tmp_path, data={**section, "image_size": 4}))
    assert data.train.x.shape[1:3] == (4, 4)
    weights = load_model(tmp_path / "big").members[0].weights
    answers = by_hand(weights, whole.train.x.reshape(len(whole.train), -1))
    np.testing.assert_allclose(taught.train.arrays[ANSWERS], answers, rtol=1e-4, atol=1e-4)


def test_models_of_an_ensemble_that_make_their_features_alike_read_the_data_once(studies, tmp_path):
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    names = ("trial-1", "trial-2")
    for name in names:
        way = load_document(alone, tmp_path, ("train.epochs=1", "data.normalize=minmax"))
        studies.train(way, tmp_path / "big" / "members" / name)
    shares = {"format": 1, "shares": dict.fromkeys(names, 0.5)}
    (tmp_path / "big" / "ensemble.json").write_text(json.dumps(shares))
    (tmp_path / "big" / "metrics.json").write_text('{"metrics": {}}')
    student = searched(tmp_path)
    section, read = student.training.data, []

    def reread(leaves: Any) -> Any:
        read.append(leaves["normalize"])
        return load_data(with_leaves(section, leaves), tmp_path, None)

    taught_by(teacher_plan(student), load_data(section, tmp_path, None), reread)
    assert read == ["minmax"]


def test_a_teacher_scales_its_features_in_its_own_way(studies, tmp_path):
    noise = {"augment": {"gaussian_noise": 0.1}}
    trained(studies, tmp_path, "data.normalize=minmax", "train.seeds=2")
    model = load_model(tmp_path / "big")
    own = load_data(model.training.data, tmp_path, None).train
    expected = np.mean([softmax(by_hand(one.weights, own.x), axis=-1) for one in model.members], 0)

    _, beside = plain_and_taught(searched(tmp_path))
    data, within = plain_and_taught(searched(tmp_path, **noise))

    assert ANSWERS not in within.train.arrays
    program, _ = split(searched(tmp_path).training, data, "cpu")
    answers = jax.jit(partial(answers_of, program))(within.teacher, data.train.x)
    for found in (beside.train.arrays[ANSWERS], answers):
        chances = softmax(np.asarray(found, np.float64), axis=-1)
        np.testing.assert_allclose(chances, expected, atol=1e-5)
    assert studies.run(searched(tmp_path, "search.trials=1", **noise)).progress.best is not None

    (tmp_path / "big").rename(tmp_path / "before")
    trained(studies, tmp_path, "data.reduce={name: pca, components: 4}")
    plain_and_taught(searched(tmp_path))
    with pytest.raises(
        HpoError, match=r"big' makes its features in another way, .* beside augment"
    ):
        studies.run(searched(tmp_path, **noise))


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_fold_learns_from_the_member_that_has_not_seen_its_validation_rows(
    studies, tmp_path, kind
):
    names = {"table": "iris", "images": "digits"}
    section = {"dataset": names[kind], "batch_size": 16, "folds": 3, "rows": 120}
    section |= {"test": 20} if kind == "images" else {}
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    seeds = 2 if kind == "table" else 1
    several = {**alone, "data": section, "train": {**alone["train"], "seeds": seeds}}
    studies.train(load_document(several, tmp_path), tmp_path / "big")
    student = searched(tmp_path, "search.trials=1", data=section)
    members = load_model(tmp_path / "big").members
    assert len(members) == 3 * seeds
    own_members = [members[fold::3] for fold in range(3)]

    plain, found = plain_and_taught(student)

    for fold, own, some in zip(found.folds, plain.folds, own_members, strict=True):
        np.testing.assert_array_equal(fold.train.x, own.train.x)
        np.testing.assert_array_equal(fold.validation.x, own.validation.x)
        rows = fold.train.x.reshape(len(fold.train), -1)
        answers = fold.train.arrays[ANSWERS].astype(np.float64)
        expected = mean_by_hand(some, rows)
        np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-4)
        assert not fold.validation.arrays[ANSWERS].any()
    noise = {"gaussian_noise": 0.1}
    noisy = searched(tmp_path, "search.trials=1", "name=noisy", data=section, augment=noise)
    _, within = plain_and_taught(noisy)
    program, _ = split(student.training, plain, "cpu")
    answers = jax.jit(lambda networks, x, fold: answers_of(program, of_fold(networks, fold), x))
    for number, (own, some) in enumerate(zip(plain.folds, own_members, strict=True)):
        x, fold = own.train.x[:8], {"fold": within.folds[number].number}
        expected = mean_by_hand(some, x.reshape(8, -1))
        np.testing.assert_allclose(answers(within.teacher, x, fold), expected, rtol=1e-4, atol=1e-4)
    if kind == "images":
        assert studies.run(noisy).progress.best is not None
    if kind == "table":
        assert studies.run(student).progress.best is not None
        whole = load_document({**alone, "data": section, "compression": TEACHER}, tmp_path)
        with pytest.raises(HpoError, match=r"--refit: a teacher answers for the rows of each fold"):
            studies.train(whole, tmp_path / "refit", is_refit=True)
        (tmp_path / "big").rename(tmp_path / "before")
        all_rows = load_document({**alone, "data": section}, tmp_path)
        studies.train(all_rows, tmp_path / "big", is_refit=True)
        with pytest.raises(HpoError, match=r"has seen the validation rows of every fold: train it"):
            plain_and_taught(student)


def test_a_language_model_learns_from_its_teacher_at_each_position(studies, tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat on the mat. a rat ran at the hat. " * 20)
    parts = {
        "data": {"dataset": {"text": "text.txt", "length": 8}, "batch_size": 4},
        "train": {"epochs": 1},
        "space": {"optimizer.learning_rate": {"float": [1e-3, 1e-1], "log": True}},
    }
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    teacher = {**alone, **parts, "model": {"name": "rnn", "width": 8}}
    del teacher["space"]
    studies.train(load_document(teacher, tmp_path), tmp_path / "big")
    search = {
        **DOCUMENT["search"],
        "scheduler": {"name": "none"},
        "objective": {"minimize": "loss"},
    }
    parts |= {"model": {"name": "rnn", "width": 4}, "search": search}
    student = searched(tmp_path, "search.trials=1", **parts)

    data, taught = plain_and_taught(student)

    program, _ = split(student.training, data, "cpu")
    rows = data.train.x[:3]
    answers = jax.jit(partial(answers_of, program))(taught.teacher, rows)
    model = load_model(tmp_path / "big")
    np.testing.assert_allclose(answers, model.outputs(model.members[0], rows), atol=1e-5)
    assert answers.shape == (3, 8, data.outputs)
    assert studies.run(student).progress.best is not None
    plain = searched(tmp_path, "search.trials=1", "name=plain", **parts, compression={})
    studies.run(plain)
    assert studies.curves(student) != studies.curves(plain)


def test_a_model_of_the_users_own_teaches_where_its_code_is_trusted(studies, tmp_path):
    (tmp_path / "own.py").write_text(OWN_MODEL)
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    teacher = {**alone, "model": {"python": "own.py:Plain"}}
    studies.train(load_document(teacher, tmp_path), tmp_path / "big")
    student = searched(tmp_path, "search.trials=1", augment={"gaussian_noise": 0.1})
    with pytest.raises(
        HpoError, match=r"its spec runs .*own\.py.*, code of your own: .*--trust-code"
    ):
        studies.run(student)
    assert studies.run(student, trusts_code=True).progress.best is not None


def test_an_ensemble_answers_by_the_shares_of_its_models(studies, tmp_path):
    alone = {n: part for n, part in DOCUMENT.items() if n not in ("space", "search")}
    place = tmp_path / "big" / "members"
    ways = {"trial-1": "standard", "trial-2": "minmax"}
    for name, way in ways.items():
        overrides = ("train.epochs=2", f"data.normalize={way}")
        studies.train(load_document(alone, tmp_path, overrides), place / name)
    shares = {"trial-1": 0.25, "trial-2": 0.75}
    told = tmp_path / "big" / "ensemble.json"
    told.write_text(json.dumps({"format": 1, "shares": shares}))
    (tmp_path / "big" / "metrics.json").write_text('{"metrics": {}}')
    student = searched(tmp_path)

    _, beside = plain_and_taught(student)
    data, within = plain_and_taught(searched(tmp_path, augment={"gaussian_noise": 0.1}))

    expected = 0.0
    for name, way in ways.items():
        section = student.training.data
        x = load_data(with_leaves(section, {"normalize": way}), tmp_path, None).train.x
        weights = load_model(place / name).members[0].weights
        expected = expected + shares[name] * softmax(by_hand(weights, x), axis=-1)
    program, _ = split(student.training, data, "cpu")
    answers = jax.jit(partial(answers_of, program))(within.teacher, data.train.x)
    for found in (beside.train.arrays[ANSWERS], answers):
        chances = softmax(np.asarray(found, np.float64), axis=-1)
        np.testing.assert_allclose(chances, expected, atol=1e-5)

    (before,) = weights_of(student).values()
    told.write_text(json.dumps({"format": 1, "shares": {"trial-1": 0.5, "trial-2": 0.5}}))
    assert [*weights_of(student).values()] != [before]


def test_a_teacher_by_url_gives_the_answers_of_the_one_here(big, monkeypatch):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    memory.put(str(big / "big"), "/bucket/big", recursive=True)
    monkeypatch.setenv("HPO_CACHE", str(big / "cache"))
    monkeypatch.setattr(remote, "_known", {})
    here = searched(big)
    there = searched(big, "compression.teacher.from=memory://bucket/big")
    _, taught = plain_and_taught(here)
    _, by_url = plain_and_taught(there)
    np.testing.assert_array_equal(by_url.resident[ANSWERS], taught.resident[ANSWERS])
    assert [*weights_of(there).values()] == [*weights_of(here).values()]
    memory.rm("/bucket/big", recursive=True)
    remote.forget("memory://bucket/big")
    told = r"^compression\.teacher\.from: 'memory://bucket/big': is not there: correct the URL"
    with pytest.raises(HpoError, match=told):
        plain_and_taught(there)
