"""Studies whose trials start from a trained model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.data import remote
from hpo.errors import HpoError, StudyError
from hpo.report.export import export_trial
from hpo.spec.load import load_document, load_experiment
from hpo.study.backends.backend import backend_of
from hpo.study.backends.pretrained import weights_of
from hpo.study.storage.tables import Storage
from tests.study.whole import DOCUMENT, Studies

FROM = {"name": "mlp", "widths": [8], "from": "base"}


def searched(folder: Any, *overrides: str, **parts: Any) -> Any:
    search = {**DOCUMENT["search"], "scheduler": {"name": "none"}, "trials": 3}
    document = {**DOCUMENT, "updates": {"freeze": ["linears"]}, "model": FROM, "search": search}
    return load_document({**document, **parts}, folder, overrides)


def trained(studies: Studies, folder: Any, *overrides: str) -> None:
    alone = {name: part for name, part in DOCUMENT.items() if name not in ("space", "search")}
    studies.train(load_document(alone, folder, ("train.epochs=1", *overrides)), folder / "base")


@pytest.fixture
def base(studies, tmp_path):
    """A folder in which an mlp for iris lies in `base`."""
    trained(studies, tmp_path)
    return tmp_path


def test_a_study_starts_from_the_folder_goes_on_from_it_and_refuses_other_weights(studies, base):
    whole = searched(base, "name=whole")
    assert studies.run(whole).progress.best is not None
    hashes = weights_of(whole)
    parts = searched(base, "search.trials=1")
    studies.run(parts)
    studies.run(searched(base))
    assert studies.curves(searched(base)) == studies.curves(whole)

    with Storage.read(studies.url) as storage:
        record = storage.study("flowers")
        moved = export_trial(storage, "flowers", None, base / "x" / "best.yaml", _today()).text
    assert record.provenance["weights"] == hashes == {"base": hashes["base"]}
    (base / "x").mkdir()
    (base / "x" / "best.yaml").write_text(moved)
    best = load_experiment(base / "x" / "best.yaml")
    assert [*weights_of(best).values()] == [*hashes.values()]
    again = studies.train(best, base / "x" / "model")
    curve = [report.metrics for report in again.curve]
    assert curve in studies.curves(whole)

    (base / "base").rename(base / "before")
    trained(studies, base, "train.seed=5")
    with pytest.raises(StudyError, match=r"began with other weights in base \(sha256 \w{8}, now"):
        studies.run(searched(base, "search.trials=9"))


def test_trials_start_from_their_own_folds_and_seeds_alone(studies, tmp_path):
    data = {**DOCUMENT["data"], "folds": 3}
    alone = {name: part for name, part in DOCUMENT.items() if name not in ("space", "search")}
    document = {**alone, "data": data, "train": {"epochs": 2, "seeds": 2}}
    studies.train(load_document(document, tmp_path), tmp_path / "base")
    same = {"data": data, "train": {"epochs": 2, "seeds": 2}}
    one = searched(tmp_path, "search.trials=1", **same)
    assert studies.run(one).progress.best is not None
    others = (
        r"model.from: 'base' has 3 folds, and they are not those of this spec: give the section"
    )
    for overrides, message in (
        (["data.split_seed=7"], others),
        (["data.folds=4"], others),
        (["data.folds=null"], others),
        (["data.normalize=none"], others),
        (["train.seed=5"], r"\(seed-0-fold-0, .*, \.\.\.\), and none is of seed 5: give these"),
    ):
        with pytest.raises(HpoError, match=message):
            studies.run(searched(tmp_path, "name=other", *overrides, **same))


def test_a_refitted_model_is_the_start_of_other_data_alone(studies, tmp_path, monkeypatch):
    data = {**DOCUMENT["data"], "folds": 2}
    alone = {name: part for name, part in DOCUMENT.items() if name not in ("space", "search")}
    document = {**alone, "data": data, "train": {"epochs": 1}}
    studies.train(load_document(document, tmp_path), tmp_path / "base", is_refit=True)
    same = {"data": data, "train": {"epochs": 1}}
    told = r"'base' was trained with --refit, and so has seen the validation rows of every fold: tr"
    with pytest.raises(HpoError, match=told):
        studies.run(searched(tmp_path, "search.trials=1", **same))
    other = searched(tmp_path, "search.trials=4", "data.rows=90", **same)
    reads = []
    read_text = Path.read_text

    def counted(path, *arguments, **named):
        reads.append(path.name)
        return read_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", counted)
    assert studies.run(other).progress.best is not None
    assert reads.count("metrics.json") <= 1


def _today():
    from datetime import date

    return date(2026, 11, 27)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"data": {"dataset": "wine", "batch_size": 16}}, r"has the shape \[4, 8\] there and \[13"),
        ({"space": {"model.widths": {"choice": [[8], [9]]}}}, r"\[8, 3\] there and \[9, 3\]"),
        ({"space": {"model.from": {"choice": ["base", "bass"]}}}, "'bass' is no folder"),
    ],
    ids=["data", "sizes", "folders"],
)
def test_weights_that_do_not_fit_are_refused_before_the_first_trial(studies, base, parts, message):
    with pytest.raises(HpoError, match=message):
        backend_of(searched(base, **parts), replace(studies.around, cache=None), print)


def test_a_folder_by_url_is_fetched_once_and_a_study_refuses_other_weights_there(
    studies, base, monkeypatch
):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.store.clear()
    memory.put(str(base / "base"), "/bucket/base", recursive=True)
    monkeypatch.setenv("HPO_CACHE", str(base / "cache"))
    monkeypatch.setattr(remote, "_known", {})
    by_url = searched(base, "model.from=memory://bucket/base/", "search.trials=1")
    studies.run(by_url)
    here = searched(base, "name=here", "search.trials=1")
    studies.run(here)
    assert studies.curves(by_url) == studies.curves(here)
    assert [*weights_of(by_url).values()] == [*weights_of(here).values()]

    memory.rm("/bucket/base", recursive=True)
    studies.run(searched(base, "model.from=memory://bucket/base/", "search.trials=2"))
    remote.forget("memory://bucket/base")
    told = r"model\.from: 'memory://bucket/base/': is not there: correct the URL"
    with pytest.raises(HpoError, match=told):
        studies.run(by_url)
    (base / "base").rename(base / "before")
    trained(studies, base, "train.seed=5")
    memory.put(str(base / "base"), "/bucket/base", recursive=True)
    with pytest.raises(StudyError, match="began with other weights in memory://bucket/base/"):
        studies.run(by_url)
    memory.store.clear()
