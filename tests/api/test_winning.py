"""A spec that was searched is trained as its best trial."""

import json
import re

import pytest
import yaml

from hpo.api.running import trained_from
from hpo.api.study import Study
from hpo.api.surroundings import surroundings
from hpo.api.winning import _began_with, with_models
from hpo.errors import HpoError, StudyError
from hpo.spec.load import load_document, load_experiment
from hpo.spec.sections.goal import Goal, Objective
from hpo.spec.sections.models.pretrained import TrialOf, named_trials
from hpo.study.log.baseline import Baseline
from hpo.study.log.events import fold
from hpo.study.storage.lease import acquire
from hpo.study.storage.tables import NothingStoredError, Storage
from hpo.trained.load import weights_hash


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
    hpo, spec, flowers, tmp_path, monkeypatch
):
    flowers["search"]["keep_weights"] = 3
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    zero, two = ({"study": "flowers", "trial": number} for number in (0, 2))
    space = {"model.from": {"choice": [None, zero, two]}}
    search = {**flowers["search"], "sampler": {"name": "grid"}, "start": [{"model.from": two}]}
    text = a_start(flowers, "starts", zero, space=space, search=search)
    (tmp_path / "starts.yaml").write_text(text)
    asked, exported = [], Study.exported

    def counted(study, trial=None, *arguments, **named):
        asked.append(trial)
        return exported(study, trial, *arguments, **named)

    monkeypatch.setattr(Study, "exported", counted)
    found = hpo("search", "starts.yaml")
    assert sorted(asked) == [0, 2]  # each is named twice
    again = hpo("search", "starts.yaml", "--set", "search.trials=4")

    assert found.code == 0, found.err
    assert again.code == 0, again.err
    assert len(asked) == 2
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
    about = trained_from(load_experiment(tmp_path / "small.yaml"), is_refit=False)
    assert about == trained_from(load_experiment(tmp_path / "small.yaml"), is_refit=False)
    hpo("search", "flowers.yaml", "--quiet", "--new", "--set", "train.seed=5")
    assert about != trained_from(load_experiment(tmp_path / "small.yaml"), is_refit=False)
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
    assert re.search(r"model\.from: .* has 2 folds, and they are not those of", other.err)


def test_a_study_that_began_with_a_teacher_in_the_former_folder_goes_on_with_it(
    hpo, spec, flowers, tmp_path
):
    flowers["search"] |= {"keep_weights": 1, "trials": 1}
    spec.write_text(yaml.safe_dump(flowers))
    hpo("search", "flowers.yaml", "--quiet")
    hpo("export", "flowers", "-o", "base.yaml")
    former = "hpo.db.teachers/flowers/trial-0-12345678"
    hpo("train", "base.yaml", "-o", former, "--quiet")
    (tmp_path / "before.yaml").write_text(a_student(flowers, **{"from": former}))
    (tmp_path / "small.yaml").write_text(a_student(flowers, **{"from": {"study": "flowers"}}))
    first = hpo("search", "before.yaml", "--quiet")
    again = hpo("search", "small.yaml", "--quiet", "--set", "search.trials=2")

    assert first.code == 0, first.err
    assert again.code == 0, again.err
    assert len(Study("small").trials) == 2
    assert not (tmp_path / "hpo.db.models").exists()


@pytest.fixture
def models(tmp_path):
    """Folders of three trials of `flowers`, by their numbers, as a spec names them."""
    names = {number: f"hpo.db.models/flowers/trial-{number}-0abc" for number in (1, 2, 12)}
    for name in names.values():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.json").write_text("{}")
    return names


def starts(*values):
    return {"space": {"model.from": {"choice": [None, *values]}}}


BEST, ONE, TWO = TrialOf(study="flowers"), *(TrialOf(study="flowers", trial=n) for n in (1, 2))
ROSES = TrialOf(study="roses")


@pytest.mark.parametrize(
    ("stored", "named", "found"),
    [
        ([1], [BEST], {BEST: 1}),
        ([12], [ONE], {}),
        ([12, 1], [ONE], {ONE: 1}),
        ([1], [ROSES], {}),
        # A place that is new, and places that are exchanged.
        ([1, 2], ["base", BEST, TWO], {BEST: 1, TWO: 2}),
        ([1, 2], [TWO, BEST], {BEST: 1, TWO: 2}),
        # The best one was that with a number, or is new.
        ([2, 2], [BEST, TWO], {BEST: 2, TWO: 2}),
        ([2], [TWO, BEST], {TWO: 2}),
        ([1], ["trial-1-\0", BEST], {BEST: 1}),
    ],
)
def test_trials_have_the_folders_that_a_stored_spec_has_for_them_at_any_place(
    tmp_path, models, stored, named, found
):
    written = [one if isinstance(one, str) else one.model_dump() for one in named]
    trials = named_trials(starts(*written))
    before = starts(*(models[number] for number in stored))
    storage = f"sqlite:///{tmp_path / 'hpo.db'}"
    expected = {one: tmp_path / models[number] for one, number in found.items()}
    assert _began_with(trials, before, tmp_path, storage) == expected


def test_what_is_not_there_keeps_its_kind_of_error(hpo, spec, flowers, tmp_path):
    text = yaml.safe_load(a_start(flowers, "named", {"study": "roses"}))
    experiment = load_document(text, tmp_path)
    around = surroundings(experiment.study.storage, None)
    with pytest.raises(NothingStoredError, match=r"^model\.from: no study database"):
        with_models(experiment, around, print)
    hpo("search", "flowers.yaml", "--quiet", "--set", "search.trials=1")
    with pytest.raises(StudyError, match=r"^model\.from: hpo\.db has no study 'roses'"):
        with_models(experiment, around, print)
    text["model"]["from"] = {"study": "flowers", "trial": 7}
    with pytest.raises(HpoError, match=r"^model\.from: study 'flowers' has no trial 7"):
        with_models(load_document(text, tmp_path), around, print)
