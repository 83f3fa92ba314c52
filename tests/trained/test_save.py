"""The folder of a trained model."""

import json
import logging
import os
import resource
from contextlib import suppress
from pathlib import Path

import numpy as np
import orbax.checkpoint as orbax
import pytest

from hpo.engine.pools.occupant import EpochReport
from hpo.errors import HpoError
from hpo.spec.load import experiment_from_document, load_experiment
from hpo.trained.save import Trained, check_free, checkpoints, save_trained
from tests.documents import SMALL
from tests.rights import run_without_rights


def weights(value):
    return {"params": {"kernel": np.full(2, value, np.float32)}, "variables": {}}


def saved(folder, by_run=(0,), loss=0.5):
    experiment = experiment_from_document(SMALL, Path())
    splits = {seed: {"validation": {"loss": loss + seed}, "test": None} for seed in by_run}
    trained = Trained(
        {"validation": {"loss": loss}, "test": None},
        (EpochReport(0, 1, {"loss": 1.0}), EpochReport(0, 2, {"loss": loss})),
        1.23456,
        splits,
        {"validation": {"loss": 0.5}, "test": None},
    )
    save_trained(
        folder, experiment, {seed: weights(seed) for seed in by_run}, trained, {"device": "cpu"}
    )
    return json.loads((folder / "metrics.json").read_text())


def test_a_folder_holds_weights_metrics_and_a_spec_that_loads(tmp_path):
    document = saved(tmp_path / "model")
    files = document.pop("files")

    assert {"spec.yaml", "weights/_METADATA"} <= {*files}
    assert document == {
        "name": SMALL["name"],
        "metrics": {"validation": {"loss": 0.5}, "test": None},
        "epochs": 2,
        "seconds": 1.235,
        "curve": [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}],
        "provenance": {"device": "cpu"},
    }
    assert load_experiment(tmp_path / "model" / "spec.yaml").name == SMALL["name"]
    with orbax.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(tmp_path / "model" / "weights")
    assert found["params"]["kernel"].tolist() == [0.0, 0.0]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_several_seeds_have_weights_and_metrics_of_their_own(tmp_path):
    document = saved(tmp_path / "model", by_run=(3, 4))

    assert document["deviations"] == {"validation": {"loss": 0.5}, "test": None}
    assert document["seeds"]["4"] == {"validation": {"loss": 4.5}, "test": None}
    with orbax.StandardCheckpointer() as checkpointer:
        found = checkpointer.restore(tmp_path / "model" / "weights" / "seed-4")
    assert found["params"]["kernel"].tolist() == [4.0, 4.0]


def test_a_metric_that_is_not_finite_is_null(tmp_path):
    assert saved(tmp_path / "model", loss=np.nan)["curve"][-1] == {"epoch": 2, "loss": None}


def test_only_a_free_folder_or_a_trained_model_is_written_to(tmp_path):
    check_free(tmp_path / "new", replace=False)
    (tmp_path / "empty").mkdir()
    check_free(tmp_path / "empty", replace=False)
    saved(tmp_path / "model")
    check_free(tmp_path / "model", replace=True)
    with pytest.raises(HpoError, match=r"holds a trained model: .*--force"):
        check_free(tmp_path / "model", replace=False)

    (tmp_path / "file").write_text("")
    with pytest.raises(HpoError, match="is a file"):
        check_free(tmp_path / "file", replace=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("")
    with pytest.raises(HpoError, match="holds other files"):
        check_free(tmp_path / "notes", replace=True)


@pytest.mark.parametrize("name", ["notes.txt", "weights/notes.txt", "weights/params/notes.txt"])
@pytest.mark.parametrize("lists_files", [True, False])
def test_a_model_beside_other_files_is_not_replaced(tmp_path, name, lists_files):
    document = saved(tmp_path / "model")
    if not lists_files:  # as version 0.2.0 wrote it
        del document["files"]
        (tmp_path / "model" / "metrics.json").write_text(json.dumps(document))
    other = tmp_path / "model" / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("mine")

    if lists_files or name == "notes.txt":
        with pytest.raises(
            HpoError, match=rf"holds {name}, which hpo train did not write: move it"
        ):
            check_free(tmp_path / "model", replace=True)
        with pytest.raises(
            HpoError, match=rf"{name} was put there during the training: the model is"
        ):
            saved(tmp_path / "model", loss=0.25)
        assert json.loads((tmp_path / ".model.partial" / "metrics.json").read_text())["curve"][
            1
        ] == {
            "epoch": 2,
            "loss": 0.25,
        }
        assert other.read_text() == "mine"


def test_a_list_of_files_does_not_reach_out_of_the_folder(tmp_path):
    document = saved(tmp_path / "model")
    (tmp_path / "thesis.tex").write_text("mine")
    document["files"] += ["../thesis.tex", str(tmp_path / "thesis.tex")]
    (tmp_path / "model" / "metrics.json").write_text(json.dumps(document))

    check_free(tmp_path / "model", replace=True)
    saved(tmp_path / "model", loss=0.25)

    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_pipe_in_place_of_the_metrics_is_another_file_and_not_waited_for(tmp_path):
    saved(tmp_path / "model")
    (tmp_path / "model" / "metrics.json").unlink()
    os.mkfifo(tmp_path / "model" / "metrics.json")

    with pytest.raises(HpoError, match=r"holds metrics\.json, which hpo train did not write"):
        check_free(tmp_path / "model", replace=True)


def test_a_model_with_a_folder_that_cannot_be_listed_is_refused_before_training(tmp_path):
    saved(tmp_path / "model")
    (tmp_path / "model" / "weights").chmod(0o111)

    ended = run_without_rights(
        tmp_path,
        "from pathlib import Path; from hpo.trained.save import check_free",
        "check_free(Path('model'), replace=True)",
    )

    assert "HpoError: -o model: cannot be used (Permission denied)" in ended.stderr


@pytest.mark.parametrize("files", [None, "weights/mine.txt", {}, 7])
def test_a_list_of_files_that_is_none_lists_nothing(tmp_path, files):
    document = saved(tmp_path / "model")
    (tmp_path / "model" / "metrics.json").write_text(json.dumps(document | {"files": files}))
    (tmp_path / "model" / "weights" / "mine.txt").write_text("mine")

    with pytest.raises(HpoError, match="which hpo train did not write: move it"):
        check_free(tmp_path / "model", replace=True)


@pytest.mark.parametrize("version", ["now", "0.2.0"])
def test_a_model_is_replaced_whole(tmp_path, version):
    document = saved(tmp_path / "model", by_run=(0, 1))
    if version == "0.2.0":
        del document["files"]
        (tmp_path / "model" / "metrics.json").write_text(json.dumps(document))

    check_free(tmp_path / "model", replace=True)
    assert saved(tmp_path / "model", loss=0.25)["curve"][1]["loss"] == 0.25

    assert not (tmp_path / "model" / "weights" / "seed-1").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("target", ["model", "nothing"])
@pytest.mark.parametrize("link", ["link", ".new.partial"])
def test_a_link_is_refused_before_training(tmp_path, target, link):
    saved(tmp_path / "model")
    (tmp_path / link).symlink_to(tmp_path / target)

    with pytest.raises(HpoError, match="is a link: give the folder itself"):
        check_free(tmp_path / ("link" if link == "link" else "new"), replace=True)


def test_a_link_in_a_model_is_another_file(tmp_path):
    saved(tmp_path / "model")
    (tmp_path / "model" / "weights").rename(tmp_path / "elsewhere")
    (tmp_path / "model" / "weights").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(HpoError, match="holds weights, which hpo train did not write"):
        check_free(tmp_path / "model", replace=True)


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "model", tmp_path / ("x" * 250), Path("/")):
        with pytest.raises(HpoError, match=r"^-o .*: give "):
            check_free(folder, replace=True)
    # Root may write anywhere, so the system's answer is replaced.
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(HpoError, match=f"{tmp_path} cannot be written: give another folder"):
        check_free(tmp_path / "new" / "model", replace=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(HpoError, match=f"{tmp_path} cannot be written: give another folder"):
        check_free(tmp_path / "empty", replace=False)


def test_a_model_may_be_written_into_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    check_free(Path(), replace=False)
    with suppress(FileNotFoundError):  # the working folder of this process was replaced
        saved(Path())

    assert (tmp_path / "here" / "metrics.json").is_file()


@pytest.mark.parametrize("most_bytes", [0, 90, 300])
def test_a_disk_that_is_full_is_said_in_one_line_and_leaves_the_old_model(tmp_path, most_bytes):
    old = saved(tmp_path / "model")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(HpoError, match=r"the model cannot be written \(File too large\): free"):
            saved(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert json.loads((tmp_path / "model" / "metrics.json").read_text()) == old
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_readers_of_two_threads_silence_and_restore_the_log_of_absl(caplog):
    log = logging.getLogger("absl")
    level = log.level
    first, second = checkpoints(), checkpoints()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # a thread that began earlier ends earlier
    log.error("of a file")
    second.__exit__(None, None, None)
    assert caplog.messages == []
    log.error("of the user")
    assert (caplog.messages, log.level) == (["of the user"], level)
