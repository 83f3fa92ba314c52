"""Ensembles of the best trials, compared with NumPy and scikit-learn on the same rows."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_squared_error

import hpo
from hpo.api.winning import Winner
from hpo.data.load import load_data
from hpo.errors import HpoError
from hpo.spec.sections.goal import Objective
from hpo.study.ensembles.ensemble import ensemble_to_folder
from hpo.study.ensembles.members import Displays
from hpo.study.progress import Progress
from hpo.study.signals import StopRequest
from hpo.trained.ensembles.greedy import greedy_shares
from hpo.trained.ensembles.write import Ensembled
from hpo.trained.model import load_model
from hpo.trained.predict import read_new
from tests.study.whole import Studies
from tests.trained.tables import an_experiment, rows_of, write_rows, write_table

LOSS = Objective(minimize="loss")


@pytest.fixture
def studies(tmp_path: Path, compile_cache: Path) -> Studies:
    return Studies(tmp_path, compile_cache)


def trials(folder: Path, *overrides: str, **parts: Any) -> list[Winner]:
    """Three candidates that differ in normalisation, width and learning rate."""
    own = [
        ("optimizer.learning_rate=0.03",),
        ("optimizer.learning_rate=0.003", "data.normalize=minmax"),
        ("optimizer.learning_rate=0.3", "model.widths=[]"),
    ]
    found = [an_experiment(folder, *one, *overrides, **parts) for one in own]
    return [Winner(one, number, ()) for one, number in zip(found, (7, 3, 12), strict=True)]


def ensemble(
    studies: Studies,
    candidates: list[Winner],
    folder: Path,
    stop: Any = None,
    seen: list[Progress] | None = None,
    **options: Any,
) -> Ensembled:
    """The ensemble; what was said, and which trials trained together or alone, is `studies.said`.

    A `stop` is set once the trials that train together have an epoch. `seen` is their progress.
    """

    def watch(progress: Progress) -> None:
        if seen is not None:
            seen.append(progress)
        if stop is not None and progress.epochs:
            stop.set()

    def together() -> Any:
        studies.said.append("together")
        return nullcontext(SimpleNamespace(watch=watch, say=studies.said.append))

    def alone(one: Winner) -> Any:
        studies.said.append(f"trains {one.number}")
        return nullcontext(SimpleNamespace(watch=lambda _: None, say=lambda _: None))

    return ensemble_to_folder(
        candidates,
        LOSS,
        folder,
        studies.around,
        Displays(together, alone),
        studies.said.append,
        stop or StopRequest(),
        **options,
    )


def chances(folder: Path, file: Path) -> np.ndarray:
    found = hpo.load(folder).predict(file, raw=True)
    return found[["churn_no", "churn_yes"]].to_numpy()


def test_an_ensemble_is_the_mean_of_its_members_by_greedy_shares(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    folder, candidates = tmp_path / "together", trials(tmp_path)
    made = ensemble(studies, candidates, folder, is_plain=True)
    files = {
        split: write_rows(
            tmp_path / "table.csv",
            rows_of(candidates[0].experiment, split),
            tmp_path / f"{split}.csv",
        )
        for split in ("validation", "test")
    }
    y = {split: (pd.read_csv(file)["churn"] == "yes").astype(int) for split, file in files.items()}
    own = {
        split: [chances(folder / "members" / f"trial-{n}", file) for n in (7, 3, 12)]
        for split, file in files.items()
    }
    shares = greedy_shares(own["validation"], lambda mean: log_loss(y["validation"], mean))
    means = {
        split: {
            "trial 7": of[0],
            "mean": np.mean(of, axis=0),
            "greedy": np.tensordot(shares, of, axes=1),
        }
        for split, of in own.items()
    }
    for split, rows in means.items():
        for name, mean in rows.items():
            found = made.compared[name][split]
            assert found is not None
            assert found["loss"] == pytest.approx(log_loss(y[split], mean), abs=1e-5), name
            assert found["accuracy"] == pytest.approx(accuracy_score(y[split], mean.argmax(1)))
    assert [*made.shares] == [7, 3, 12]
    np.testing.assert_allclose(chances(folder, files["test"]), means["test"]["mean"], atol=1e-6)
    of_winner = json.loads((folder / "members" / "trial-7" / "metrics.json").read_text())
    for split in files:
        expected = of_winner["metrics"][split]
        assert made.compared["trial 7"][split] == pytest.approx(expected, abs=1e-6)
    score = hpo.load(folder).score(files["test"])
    assert score == pytest.approx(dict(made.metrics["test"] or {}), abs=1e-5)

    # Its models are there, so that the greedy ensemble trains none again.
    studies.said.clear()
    greedy = ensemble(studies, candidates, folder, is_replaced=True)
    assert studies.said == [f"Trial {number} is trained already." for number in (7, 3, 12)]
    np.testing.assert_allclose([*greedy.shares.values()], shares)
    np.testing.assert_allclose(chances(folder, files["test"]), means["test"]["greedy"], atol=1e-6)
    kept = {path.name for path in (folder / "members").iterdir()}
    assert kept == {f"trial-{n}" for n, share in greedy.shares.items() if share}
    told = hpo.load(folder).predict(files["test"])
    raw = hpo.load(folder).predict(files["test"], raw=True)
    assert told["churn"].tolist() == raw["churn"].tolist()
    stored = json.loads((folder / "metrics.json").read_text())
    assert stored["temperature"] == greedy.temperature
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def test_folds_are_judged_by_the_members_that_have_not_trained_on_a_row(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv", target="score")
    table = pd.read_csv(tmp_path / "table.csv")
    table["churn"] += np.arange(len(table)) * 1e-4  # so that a target says which row it is of
    table.to_csv(tmp_path / "table.csv", index=False)
    folder = tmp_path / "together"
    candidates = trials(tmp_path, "data.folds=3", "train.epochs=20")[:2]
    made = ensemble(studies, candidates, folder, is_plain=True)
    places = [folder / "members" / f"trial-{number}" for number in (7, 3)]
    models = [load_model(place, "cpu") for place in places]
    source = read_new(models[0], tmp_path / "table.csv").source
    mean, truth = np.zeros(len(table)), table["churn"].to_numpy()
    is_judged = np.zeros(len(table), bool)
    for place, fold in enumerate(
        load_data(candidates[0].experiment.training.data, tmp_path, None).folds
    ):
        targets = fold.validation.y * fold.target_std + fold.target_mean
        rows = [int(np.abs(truth - one).argmin()) for one in targets]
        is_judged[rows] = True
        for model in models:
            alone = replace(model, members=(model.members[place],))
            mean[rows] += alone.predictions(source)[rows, 0] / 2
    expected = mean_squared_error(truth[is_judged], mean[is_judged]) ** 0.5
    found = made.compared["mean"]["validation"]
    assert found is not None
    assert found["rmse"] == pytest.approx(expected, rel=1e-4)
    assert made.temperature is None
    both = [hpo.load(place).predict(tmp_path / "table.csv")["churn"] for place in places]
    answers = hpo.load(folder).predict(tmp_path / "table.csv")["churn"]
    np.testing.assert_allclose(answers, np.mean(both, axis=0), rtol=1e-6)


def test_trials_of_other_rows_or_without_a_mean_answer_are_refused(
    studies: Studies, tmp_path: Path
) -> None:
    write_table(tmp_path / "table.csv")
    one, other = trials(tmp_path)[0], trials(tmp_path, "data.split_seed=5")[1]
    with pytest.raises(HpoError, match="trial 3 reads or splits its data otherwise than trial 7"):
        ensemble(studies, [one, other], tmp_path / "together")
    decided = trials(tmp_path, "train.threshold=f1", "train.metrics=[f1]")[:1]
    with pytest.raises(HpoError, match=r"decides by train\.threshold, and an ensemble needs one"):
        ensemble(studies, decided, tmp_path / "together")
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 40)
    data = {"dataset": {"text": "text.txt", "length": 8}, "batch_size": 4}
    spec = an_experiment(tmp_path, data=data, model={"name": "rnn", "width": 4})
    with pytest.raises(HpoError, match="learns what comes next in a text, and an ensemble needs"):
        ensemble(studies, [Winner(spec, 0, ())], tmp_path / "together")
