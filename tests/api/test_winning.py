"""A spec that was searched is trained as its best trial."""

import json
import re

import pytest
import yaml

from hpo.api.study import Study
from hpo.spec.sections.goal import Goal, Objective
from hpo.study.log.baseline import Baseline
from hpo.study.log.events import fold
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import Storage
from hpo.trained.weights import weights_hash


def test_a_searched_spec_is_trained_as_its_best_trial(hpo, spec, tmp_path):
    refused = hpo("train", "flowers.yaml", "-o", "model")
    hpo("search", "flowers.yaml", "--quiet")
    best = hpo("export", "flowers").out
    trained = hpo("train", "flowers.yaml", "-o", "model", "--quiet", "--set", "train.seed=0")

    assert refused.code == 2
    assert "may vary: remove space, or use hpo search" in refused.err
    assert trained.code == 0, trained.err
    number, accuracy = re.search(r"# Trial (\d+) .* validation accuracy ([\d.]+)", best).groups()
    assert trained.err.startswith(f"Trial {number} is the best of flowers.")
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert metrics["validation"]["accuracy"] == pytest.approx(float(accuracy), abs=1e-4)


def test_the_baselines_of_a_searched_spec_stand_below_its_trained_winner(hpo, spec, tmp_path):
    hpo("search", "flowers.yaml", "--quiet")
    forest = Baseline("forest", "leaves of 1", {"accuracy": 0.875}, {"accuracy": 0.625})
    with Storage.create(f"sqlite:///{tmp_path / 'hpo.db'}") as storage:
        record = storage.study("flowers")
        state = fold(storage.events(record.id), Goal((Objective(maximize="accuracy"),)))
        with acquire(storage, record.id) as lease:
            storage.append(record.id, [state.record(forest, None, 0)], lease.token, None)

    trained = hpo("train", "flowers.yaml", "-o", "model", "--quiet")

    assert trained.code == 0, trained.err
    assert re.search(r"accuracy +test accuracy +baseline, untuned", trained.out)
    assert re.search(r"0\.8750 +0\.6250 +forest +leaves of 1\n", trained.out)
    (found,) = Study("flowers").baselines
    assert (found.value, found.test) == (0.875, {"accuracy": 0.625})


def test_a_damaged_database_is_named_where_its_spec_is_to_be_trained(hpo, spec, tmp_path):
    (tmp_path / "hpo.db").write_bytes(b"no database" * 100)
    refused = hpo("train", "flowers.yaml", "-o", "model")
    assert refused.code == 2
    assert "hpo.db" in refused.err
    assert "may vary" not in refused.err


def a_student(flowers, **teacher):
    section = {"model": {"name": "mlp", "widths": [4]}, "compression": {"teacher": teacher}}
    return yaml.safe_dump({**flowers, **section, "name": "small"})


def test_a_trial_whose_weights_are_kept_teaches_and_a_resumed_study_keeps_it(
    hpo, spec, flowers, tmp_path
):
    (tmp_path / "small.yaml").write_text(a_student(flowers, **{"from": {"study": "flowers"}}))
    nothing = hpo("search", "small.yaml")
    flowers["search"]["keep_weights"] = 1
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    best = Study("flowers").best.number
    first = hpo("search", "small.yaml")
    (folder,) = (tmp_path / "hpo.db.models" / "flowers").iterdir()
    hpo("search", "flowers.yaml", "--quiet", "--set", "search.trials=12")
    assert Study("flowers").best.number != best
    again = hpo("search", "small.yaml", "--set", "search.trials=4")
    hpo("export", "small", "-o", "best.yaml")
    trained = hpo("train", "best.yaml", "-o", "model", "--quiet")
    alone = {name: part for name, part in flowers.items() if name not in ("space", "search")}
    (tmp_path / "single.yaml").write_text(a_student(alone, **{"from": {"study": "flowers"}}))
    single = hpo("train", "single.yaml", "-o", "one", "--quiet")

    assert nothing.code == 2
    assert "no study database at hpo.db" in nothing.err
    assert first.code == 0, first.err
    assert f"Uses the weights that the search kept for trial {best}; it is not" in first.err
    assert f"The teacher is trial {best} of flowers, in" in first.err
    assert folder.name.startswith(f"trial-{best}-")
    assert again.code == 0, again.err
    assert len(Study("small").trials) == 4
    assert trained.code == 0, trained.err
    written = yaml.safe_load((tmp_path / "best.yaml").read_text())["compression"]["teacher"]["from"]
    assert (tmp_path / written) == folder
    winner = max(Study("small").trials, key=lambda one: one.value).value
    told = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert told["validation"]["accuracy"] == winner
    assert single.code == 0, single.err
    assert len([*folder.parent.iterdir()]) == 2  # that one is taught by the best trial of now


def test_a_trial_without_kept_weights_is_no_teacher_and_trains_nothing(
    hpo, spec, flowers, tmp_path
):
    hpo("search", "flowers.yaml", "--quiet")
    (tmp_path / "small.yaml").write_text(
        a_student(flowers, **{"from": {"study": "flowers", "trial": 1}})
    )
    refused = hpo("search", "small.yaml")
    other = hpo("search", "small.yaml", "--set", "compression.teacher.from.trial=7")

    assert refused.code == 2
    assert "no weights that fit here are kept of trial 1 of 'flowers': run hpo exp" in refused.err
    assert not list(tmp_path.glob("hpo.db.models/flowers/*"))
    assert other.code == 2
    assert "study 'flowers' has no trial 7: its trials are 0 to 2." in other.err


def a_start(flowers, name, start, **parts):
    return yaml.safe_dump({**flowers, "name": name, "model": {**MLP, "from": start}, **parts})


MLP = {"name": "mlp", "widths": [8]}


def values_of(study):
    return [(trial.hparams, trial.value) for trial in Study(study).trials]


def test_trials_start_from_kept_weights_as_from_their_folder_and_a_resumed_study_keeps_them(
    hpo, spec, flowers, tmp_path
):
    flowers["search"]["keep_weights"] = 1
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    best = Study("flowers").best.number
    hpo("export", "flowers", "-o", "base.yaml")
    hpo("train", "base.yaml", "-o", "base", "--quiet")
    for name, start in (("named", {"study": "flowers"}), ("written", "base")):
        (tmp_path / f"{name}.yaml").write_text(a_start(flowers, name, start))
    checked = hpo("check", "named.yaml", "--trial", "0")
    first = hpo("search", "named.yaml")
    hpo("search", "written.yaml", "--set", "search.trials=4")
    (folder,) = (tmp_path / "hpo.db.models" / "flowers").iterdir()

    assert yaml.safe_load(checked.out)["model"]["from"]["study"] == "flowers"
    assert first.code == 0, first.err
    assert f"Trials start from trial {best} of flowers, in {folder}." in first.err
    assert folder.name.startswith(f"trial-{best}-")

    hpo("search", "flowers.yaml", "--quiet", "--set", "search.trials=12")
    assert Study("flowers").best.number != best
    again = hpo("search", "named.yaml", "--set", "search.trials=4")
    hpo("export", "named", "-o", "best.yaml")
    trained = hpo("train", "best.yaml", "-o", "model", "--quiet")
    assert again.code == 0, again.err
    assert "Trials start from" not in again.err
    assert len([*folder.parent.iterdir()]) == 1
    assert values_of("named") == values_of("written")
    assert len(values_of("named")) == 4
    assert trained.code == 0, trained.err
    told = json.loads((tmp_path / "model" / "metrics.json").read_text())["metrics"]
    assert told["validation"]["accuracy"] == max(value for _, value in values_of("named"))


def test_a_space_may_try_several_trials_as_the_start_and_the_winner_names_a_folder(
    hpo, spec, flowers, tmp_path
):
    flowers["search"]["keep_weights"] = 3
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    zero, two = ({"study": "flowers", "trial": number} for number in (0, 2))
    space = {"model.from": {"choice": [None, zero, two]}}
    search = {**flowers["search"], "sampler": {"name": "grid"}, "start": [{"model.from": two}]}
    text = a_start(flowers, "starts", zero, space=space, search=search)
    (tmp_path / "starts.yaml").write_text(text)
    found = hpo("search", "starts.yaml")
    again = hpo("search", "starts.yaml", "--set", "search.trials=4")

    assert found.code == 0, found.err
    assert again.code == 0, again.err
    folders = {path.name: path for path in (tmp_path / "hpo.db.models" / "flowers").iterdir()}
    assert [name[:8] for name in sorted(folders)] == ["trial-0-", "trial-2-"]
    starts = [trial.hparams["model.from"] for trial in Study("starts").trials]
    names = [f"hpo.db.models/flowers/{name}" for name in sorted(folders)]
    assert starts[0] == names[1]
    assert {*starts} == {None, *names}


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"study": "roses"}, r"model\.from: hpo\.db has no study 'roses'\. Its studies: flowers\."),
        ({"study": "flowers", "trial": 7}, r"model\.from: study 'flowers' has no trial 7: its tr"),
        (
            {"study": "flowers", "trial": 1},
            r"model\.from: no weights that fit here are kept of trial 1 of 'flowers': run hpo "
            r"export flowers --trial 1 -o base\.yaml and hpo train base\.yaml -o base, and write "
            r"from: base\.",
        ),
        ({"trial": 1}, r"model\.from\.study: is missing"),
        ({"study": "flowers", "trail": 1}, r"model\.from\.trail: unknown key 'trail'"),
        ({"study": "flowers", "trial": -1}, r"model\.from\.trial: cannot be -1: write a who"),
    ],
)
def test_a_trial_that_nothing_can_start_from_is_one_sentence(
    hpo, spec, flowers, tmp_path, start, message
):
    hpo("search", "flowers.yaml", "--quiet")
    (tmp_path / "named.yaml").write_text(a_start(flowers, "named", start))
    refused = hpo("search", "named.yaml")
    assert refused.code == 2
    assert re.search(message, refused.err)
    assert refused.err.count("\n") == 1
    assert not list(tmp_path.glob("hpo.db.models/flowers/*"))


def test_a_numbered_teacher_survives_a_study_that_starts_over(hpo, spec, flowers, tmp_path):
    flowers["search"] |= {"keep_weights": 1, "trials": 1}
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    named = {"from": {"study": "flowers", "trial": 0}}
    (tmp_path / "small.yaml").write_text(a_student(flowers, **named))
    hpo("search", "small.yaml", "--quiet")
    (first,) = (tmp_path / "hpo.db.models" / "flowers").iterdir()
    before = weights_hash(first)
    hpo("search", "flowers.yaml", "--quiet", "--new", "--set", "train.seed=5")
    again = hpo("search", "small.yaml", "--quiet", "--set", "search.trials=2")
    assert again.code == 0, again.err
    assert [*(tmp_path / "hpo.db.models" / "flowers").iterdir()] == [first]

    # A study that begins now learns from the trial that has the number now.
    other = hpo("search", "small.yaml", "--set", "name=other")
    assert other.code == 0, other.err
    folders = {*(tmp_path / "hpo.db.models" / "flowers").iterdir()}
    (second,) = folders - {first}
    assert first in folders
    assert second.name.startswith("trial-0-")
    assert f"The teacher is trial 0 of flowers, in {second}." in other.err
    assert weights_hash(first) == before != weights_hash(second)


def test_a_trial_of_folds_is_the_start_of_the_same_folds_and_of_no_others(
    hpo, spec, flowers, tmp_path
):
    flowers["data"]["folds"] = 2
    flowers["search"] |= {"keep_weights": 1, "trials": 1}
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    (tmp_path / "named.yaml").write_text(a_start(flowers, "named", {"study": "flowers"}))
    found = hpo("search", "named.yaml")
    other = hpo("search", "named.yaml", "--set", "data.folds=3", "--set", "name=other")

    assert found.code == 0, found.err
    (folder,) = (tmp_path / "hpo.db.models" / "flowers").iterdir()
    assert {path.name for path in (folder / "weights").iterdir()} == {"fold-0", "fold-1"}
    assert other.code == 2
    assert re.search(r"model\.from: .* has 2 folds of its own, which have seen rows", other.err)
