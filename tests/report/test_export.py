"""A trial as a spec of its own."""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpo import __version__
from hpo.api.study import Study
from hpo.errors import DamagedError, HpoError, StudyError
from hpo.registry import READERS
from hpo.report.export import export_trial, file_of, training_document, write_new
from hpo.spec.file.document import parse_yaml
from hpo.spec.file.dump import dump_spec
from hpo.spec.fill import fill
from hpo.spec.load import experiment_from_document, load_experiment
from hpo.spec.merging import NOTHING
from hpo.spec.sections.split import TimeSplit
from hpo.study.log.events import MERGING, Event, Pin
from hpo.study.log.lineage import Segment
from hpo.study.storage.lease import acquire
from hpo.study.storage.trust import check_exported
from hpo.trial import TrialState
from tests.checkout import ROOT

TODAY = date(2025, 11, 22)


def exported(storage, tmp_path, number=None, study="digits"):
    path = tmp_path / "best.yaml"
    path.write_text(export_trial(storage, study, number, path, TODAY).text)
    return path


@pytest.mark.parametrize(
    ("number", "optimizer"), [(None, "sgd"), (0, "adamw"), (1, "sgd"), (3, "sgd")]
)
def test_an_exported_spec_loads_to_the_training_of_its_trial(
    storage, digits, spec, adamw, sgd, tmp_path, number, optimizer
):
    hparams = sgd if optimizer == "sgd" else adamw
    training = load_experiment(exported(storage, tmp_path, number)).training

    trial = 1 if number is None else number
    assert training == fill(experiment_from_document(spec, Path()).training, hparams, trial)


def test_an_exported_spec_leaves_nothing_to_search(storage, digits, tmp_path):
    experiment = load_experiment(exported(storage, tmp_path))

    assert (len(experiment.space), experiment.search) == (0, None)


def test_an_exported_spec_says_where_it_comes_from_and_what_was_tuned(storage, digits, tmp_path):
    assert (
        exported(storage, tmp_path).read_text()
        == f"""\
# Trial 1 of the study digits: validation accuracy 0.8000 after 3 epochs.
# Exported on 2025-11-22 by hpo {__version__} from {tmp_path}/hpo.db.
#
# Train it in full:  hpo train best.yaml -o model/
name: digits
data:
  dataset: digits
  rows: null
  validation: 0.2
  test: auto
  split_seed: 0
  batch_size: 64
  normalize: standard
  image_size: null
  epsilon: 1.0e-5
  reduce: {{name: none, components: 0.95, features: 20}}
  range: [0.0, 1.0]
  clip: null
  columns:
    impute: median
    constant: 0.0
    flag: false
    encode: one_hot
    buckets: 64
    smoothing: auto
    transform: none
    by_name: {{}}
  text:
    tokens: auto
    lower: true
    punctuation: remove
    shortest: 2
    stop_words: none
    reduce: none
    language: english
    vocabulary: 8000
    vectors: tfidf
    ngrams: [1, 1]
    features: 1000
    embeddings: null
    length: 64
    synonyms: null
    homophones: null
  class_weight: none
  corrupt: {{kinds: [], severity: 0.5, from: null}}
  store: float32
  device_budget: auto
model:
  name: mlp
  widths: [64, 64]  # from [32], [64, 64]
  rank: null
  activation: relu
  norm: none
  norm_momentum: null
  bias: true
  slope: null
  init: he_normal
  init_scale: null
  init_gain: none
  dropout: 0.0
  embedding: auto
  output: linear
optimizer:
  name: sgd  # from 'adamw', 'sgd'
  learning_rate: 0.02  # from 0.0001 to 0.1, log
  momentum: 0.5  # from 0.0 to 0.9 when optimizer.name is 'sgd'
  nesterov: false
  weight_decay: 0.0
  clip_norm: null
  schedule: {{name: constant, warmup: 0.0, warmup_shape: linear, warmup_start: 0.0}}
train:
  epochs: 3
  keep: last
  seed: 0
  seeds: 1
  stream: 1
  precision: float32
  average: {{name: none, decay: null, start: null}}
  lanes: auto
  form: auto
  metrics: []
  gradient_norms: false
  threshold: null
  changes: []
  varying: []
  merged: auto
updates:
  clip_value: null
  clip_layer_norm: null
  clip_norm: null
  clip_adaptive: null
  centralize: false
  noise: 0.0
  weight_noise: 0.0
  accumulate: null
  sam_radius: 0.0
  sam_adaptive: false
  lookahead: null
  lookahead_share: null
  update_share: null
  decay_on: all
  l1: 0.0
  max_norm: null
  spectral_norm: null
"""
    )


def test_an_exported_document_depends_on_no_default_and_keeps_the_order_of_the_spec(spec, adamw):
    document = {"train": {}} | spec
    document["train"] = {"lanes": 2, "epochs": 3}
    document["optimizer"] = {"schedule": {"final": 0.1, "name": "cosine"}, **spec["optimizer"]}
    experiment = experiment_from_document(document, Path())
    training = fill(experiment.training, adamw, 5)

    exported = training_document(experiment, (Segment(5, 0, adamw),), NOTHING, Path())

    assert list(exported) == ["name", "train", "data", "model", "optimizer", "updates"]
    assert list(exported["train"])[:2] == ["lanes", "epochs"]
    assert list(exported["optimizer"])[:3] == ["name", "schedule", "learning_rate"]
    assert exported["optimizer"]["schedule"] == {
        "final": 0.1,
        "name": "cosine",
        "warmup": 0.0,
        "warmup_shape": "linear",
        "warmup_start": 0.0,
    }
    own = training.model_dump(mode="json")
    assert own.pop("loss") is None  # no key says it
    for section in ("attack", "augment", "compression", "privacy", "sampling"):  # off
        own.pop(section)
    for key in ("split", "folds", "target_range", "extra"):
        assert own["data"].pop(key) is None
    for key in ("depth", "width"):
        assert own["model"].pop(key) is None
    assert own["train"].pop("judged_by") == "mean"
    assert own["train"].pop("until") is own["train"].pop("early_stop") is None
    assert own["train"].pop("schedules") == {}
    assert own["model"].pop("from") is None
    assert (own["updates"].pop("freeze"), own["updates"].pop("rates")) == ([], {})
    assert {key: exported[key] for key in own} == own


def test_a_schedule_of_a_number_that_the_trial_lacks_is_not_exported(spec):
    step, linear = {"name": "step"}, {"name": "linear", "to": 0.2}
    schedules = {
        "updates.max_norm": step,
        "optimizer.weight_decay": step,
        "optimizer.momentum": step,
        "model.dropout": linear,
    }
    varied = {
        "optimizer.name": {"choice": ["sgd", "adam"]},
        "optimizer.weight_decay": {"float": [0.0, 0.1]},
        "updates.max_norm": {"choice": [None, 2.0]},
    }
    parts = {"train": {"epochs": 3, "schedules": schedules}, "optimizer": {"name": "sgd"}}
    experiment = experiment_from_document({**spec, **parts, "space": varied}, Path())
    hparams = {"optimizer.name": "adam", "optimizer.weight_decay": 0.0, "updates.max_norm": None}

    exported = training_document(experiment, (Segment(5, 0, hparams),), NOTHING, Path())

    assert [*exported["train"]["schedules"]] == ["model.dropout"]
    assert experiment_from_document(exported, Path()).training.train.schedules


def test_depth_and_width_are_exported_as_widths(spec):
    document = {
        **spec,
        "model": {"name": "mlp", "depth": 3},
        "space": {"model.width": {"int": [4, 9]}},
    }
    hparams = {"model.width": 5}
    experiment = experiment_from_document(document, Path())
    exported = training_document(experiment, (Segment(1, 0, hparams),), NOTHING, Path())
    assert exported["model"]["widths"] == [5, 5, 5]
    assert not {"depth", "width"} & exported["model"].keys()
    again = experiment_from_document(exported, Path())
    assert again.training.model.widths == fill(experiment.training, hparams, 1).model.widths


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_trial_of_every_shipped_config_can_be_exported_and_trained(path):
    experiment = load_experiment(path)
    hparams = experiment.space.draw(np.random.default_rng(1))

    lineage = (Segment(1, 0, hparams),)
    text = dump_spec(training_document(experiment, lineage, NOTHING, path.parent))

    again = experiment_from_document(parse_yaml(text, "").values, path.parent)
    found, expected = (
        # An exported spec names the hash of code, too.
        one.model_dump(exclude={"data": {"dataset"}})
        for one in (again.training, fill(experiment.training, hparams, 1))
    )
    assert found == expected


@pytest.mark.long
@given(st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_every_draw_exports_to_the_trials_training_spec(seed, number):
    experiment = load_experiment(Path("configs/digits.yaml"))
    hparams = experiment.space.draw(np.random.default_rng(seed))

    lineage = (Segment(number, 0, hparams),)
    text = dump_spec(training_document(experiment, lineage, NOTHING, Path()))

    again = experiment_from_document(parse_yaml(text, "").values, Path())
    assert again.training == fill(experiment.training, hparams, number)


def test_a_trial_that_was_stopped_early_says_so(storage, digits, tmp_path):
    assert (
        "# Trial 2 of the study digits: pruned, validation accuracy 0.9500 after 1 of 3 epochs."
        in (exported(storage, tmp_path, 2).read_text())
    )


def test_a_study_without_a_winner_names_the_leading_trial_and_the_way_on(
    storage, store, adamw, sgd
):
    store([(adamw, [0.5], TrialState.PAUSED), (sgd, [0.6, 0.7], TrialState.PAUSED)])

    with pytest.raises(HpoError) as error:
        export_trial(storage, "digits", None, None, TODAY)

    assert str(error.value) == (
        "study 'digits': no trial has trained to all 3 epochs yet, the leading one is trial 1 "
        "after 2 epochs: go on with `hpo resume digits`, or export any with --trial N."
    )


@pytest.mark.parametrize(
    ("stop", "way_on"),
    [
        ("epochs", "change search.stop.epochs in the spec"),
        ("target", "change search.stop.target in the spec"),
        ("exhausted", "widen the space in the spec"),
        ("none_found", "widen the space in the spec"),
    ],
)
def test_a_study_that_would_stop_at_once_again_is_not_to_be_resumed(
    storage, store, adamw, stop, way_on
):
    store([(adamw, [0.5], TrialState.PAUSED)], stop=stop)
    with pytest.raises(HpoError, match=f"{way_on} and run `hpo search SPEC` again, or export"):
        export_trial(storage, "digits", None, None, TODAY)


PRUNED, DIVERGED, INFEASIBLE = TrialState.PRUNED, TrialState.DIVERGED, TrialState.INFEASIBLE


@pytest.mark.parametrize(
    ("lives", "ending"),
    [
        (
            [([0.5], PRUNED)] * 4,
            "no trial has trained to all 3 epochs, the leading one is trial 0 after 1 epoch: go on"
            " with `hpo resume digits --trials N`, or export any with --trial N.",
        ),
        (
            [([], INFEASIBLE), ([], DIVERGED), ([0.5], DIVERGED), ([], INFEASIBLE)],
            "every trial has diverged (2) or broken the constraints before training (2), so none "
            "can win. Loosen the bounds, search a space of lower learning rates, or export any "
            "with --trial N.",
        ),
    ],
)
def test_a_study_that_has_ended_is_not_just_to_be_resumed(storage, store, adamw, lives, ending):
    store([(adamw, *life) for life in lives])
    with pytest.raises(HpoError) as error:
        export_trial(storage, "digits", None, None, TODAY)
    assert str(error.value) == f"study 'digits': {ending}"


@pytest.mark.parametrize(
    ("lives", "ending"),
    [([], "it has none yet."), ([({}, [], TrialState.RUNNING)], "its trials are 0 to 0.")],
)
def test_a_trial_that_is_not_there_is_refused(storage, store, lives, ending):
    store(lives)
    with pytest.raises(HpoError, match=f"study 'digits' has no trial 7: {ending}"):
        export_trial(storage, "digits", 7, None, TODAY)


@pytest.fixture
def csv_study(store, adamw, spec):
    """`csv_study(csv, folder)` stores a study on a table, named in a spec that lies in `folder`."""

    def build(csv, folder, **more):
        data = {"dataset": {"csv": csv, "target": "y"}, **more}
        lives = [(adamw, [0.1, 0.2, 0.3], TrialState.COMPLETE)]
        store(lives, spec={**spec, "data": data}, folder=folder)

    return build


def csv_of(path):
    return yaml.safe_load(path.read_text())["data"]["dataset"]["csv"]


@pytest.mark.parametrize("split", [{}, {"split": {"time": "day", "gap": "7d"}}])
def test_an_exported_spec_has_the_split_of_the_study(storage, csv_study, tmp_path, split):
    csv_study("x.csv", tmp_path, **split)
    path = exported(storage, tmp_path)
    exact = {name: {**value, "feature": False} for name, value in split.items()}
    data = yaml.safe_load(path.read_text())["data"]
    assert {name: data[name] for name in data.keys() & {"split"}} == exact
    spec = load_experiment(path).training.data.split
    assert spec == (TimeSplit(time="day", gap="7d") if split else None)


def test_data_below_the_new_file_are_named_relative_to_it(storage, csv_study, tmp_path):
    (tmp_path / "specs" / "data").mkdir(parents=True)
    (tmp_path / "specs" / "data" / "x.csv").touch()
    csv_study("data/x.csv", tmp_path / "specs")

    assert csv_of(exported(storage, tmp_path)) == "specs/data/x.csv"


def test_data_elsewhere_are_named_by_their_absolute_path(storage, csv_study, tmp_path):
    (tmp_path / "x.csv").touch()
    csv_study("x.csv", tmp_path)
    (tmp_path / "out").mkdir()

    assert csv_of(exported(storage, tmp_path / "out")) == str(tmp_path / "x.csv")


@pytest.mark.parametrize("key", sorted(READERS.keys() - {"python"}))
def test_the_files_of_every_format_are_named_as_they_are_found(storage, store, spec, tmp_path, key):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "x").touch()
    dataset = {key: "x"} | ({"target": "y"} if READERS[key].is_table else {})
    document = {"name": "digits", "data": {"dataset": dataset}, "model": {"name": "mlp"}}
    document |= {"optimizer": {"name": "adamw"}, "train": {"epochs": 3}}
    document["space"] = {"optimizer.learning_rate": {"float": [0.01, 0.1]}}
    document["search"] = {"objective": {"minimize": "loss"}, "trials": 1}
    lives = [({"optimizer.learning_rate": 0.05}, [0.1, 0.2, 0.3], TrialState.COMPLETE)]
    store(lives, spec=document, folder=tmp_path / "specs")

    data = yaml.safe_load(exported(storage, tmp_path).read_text())["data"]
    assert data["dataset"][key] == "specs/x"


def test_files_for_texts_are_named_as_they_are_found_from_the_new_file(
    storage, csv_study, tmp_path
):
    (tmp_path / "specs").mkdir()
    for name in ("x.csv", "words.txt", "vectors.txt"):
        (tmp_path / "specs" / name).touch()
    text = {"stop_words": "words.txt", "vectors": "mean", "embeddings": "vectors.txt"}
    csv_study("x.csv", tmp_path / "specs", text=text)

    found = load_experiment(exported(storage, tmp_path)).training.data.text
    assert found.files == {"embeddings": "specs/vectors.txt", "stop_words": "specs/words.txt"}


def test_files_of_further_rows_are_named_as_they_are_found_from_the_new_file(
    storage, csv_study, tmp_path
):
    (tmp_path / "specs").mkdir()
    for name in ("x.csv", "more.csv", "changed.csv"):
        (tmp_path / "specs" / name).touch()
    csv_study("x.csv", tmp_path / "specs", extra="more.csv", corrupt={"from": "changed.csv"})

    found = load_experiment(exported(storage, tmp_path)).training.data
    assert (found.extra, found.corrupt.file) == ("specs/more.csv", "specs/changed.csv")


def test_data_that_are_not_beside_the_spec_keep_their_name(storage, csv_study, tmp_path):
    csv_study("x.csv", tmp_path)  # it may lie in HPO_DATA

    assert csv_of(exported(storage, tmp_path)) == "x.csv"


def test_a_file_in_the_way_is_replaced_on_demand_only(tmp_path):
    path = tmp_path / "best.yaml"
    write_new(path, "one", replace=False)

    with pytest.raises(HpoError, match=r"best\.yaml: exists: give another name, or --force"):
        write_new(path, "two", replace=False)
    assert path.read_text() == "one"

    write_new(path, "two", replace=True)
    assert path.read_text() == "two"


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path):
    with pytest.raises(HpoError, match=r"cannot be written \(No such file or directory\)"):
        write_new(tmp_path / "no" / "best.yaml", "", replace=False)


def test_training_a_stored_study_says_which_file_it_reads(
    storage, csv_study, tmp_path, monkeypatch, capsys
):
    (tmp_path / "x.csv").touch()
    csv_study("x.csv", tmp_path)
    monkeypatch.setattr("hpo.api.training.trained", lambda document, *_, **__: file_of(document))

    read = Study("digits", storage.url.render_as_string()).train("model", quiet=True)

    assert read == str(tmp_path / "x.csv")
    assert capsys.readouterr().err == f"Reads {tmp_path}/x.csv, as the stored spec says.\n"


def test_a_data_set_by_name_is_no_file(spec):
    assert file_of(spec) is None


def test_a_plan_of_merging_that_is_none_is_damage(storage, digits, tmp_path):
    record = storage.study("digits")
    last = len(storage.events(record.id))
    with acquire(storage, record.id) as lease:
        plan = Pin(MERGING, {"merged": {"widths": [[4], "x"]}})
        storage.append(record.id, [Event(last + 1, None, 0, plan)], lease.token)
    with pytest.raises(DamagedError, match=f"hpo_events, event {last + 1}: "):
        exported(storage, tmp_path)


def test_an_exported_spec_holds_the_hash_of_a_metric_of_ones_own(spec, tmp_path):
    source = "def top3(predictions, y): ...\n"
    (tmp_path / "metrics.py").write_text(source)
    search = {"objective": {"maximize": {"python": "metrics.py:top3"}}, "trials": 1}
    experiment = experiment_from_document({**spec, "search": search}, tmp_path)
    lineage = (Segment(0, 0, {}),)
    document = training_document(experiment, lineage, NOTHING, tmp_path)
    sha256 = hashlib.sha256(source.encode()).hexdigest()
    assert document["train"]["metrics"] == [{"python": "metrics.py:top3", "sha256": sha256}]
    path = tmp_path / "best.yaml"
    path.write_text(dump_spec(document))
    check_exported(load_experiment(path).training, is_trusted=False)

    (tmp_path / "metrics.py").write_text(f"{source}# changed\n")

    changed = load_experiment(path).training
    with pytest.raises(StudyError, match=rf"^train\.metrics\.sha256: .*{sha256[:8]}.*--trust-code"):
        check_exported(changed, is_trusted=False)
    check_exported(changed, is_trusted=True)
