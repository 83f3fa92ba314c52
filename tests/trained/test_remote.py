"""Models in folders by URL, on the memory file system of fsspec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hpo
from hpo.data import remote
from hpo.errors import HpoError
from hpo.trained.remote import local_data, local_model, send_again, written_to

fsspec = pytest.importorskip("fsspec", reason="the extra `urls` is not installed")
URL = "memory://bucket/model"
ABOUT = "name: x\n"
FINGERPRINT = "a1b2"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The files of a server, which no other test sees; copies lie in a cache of this test."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_known", {})
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def write(folder: Path, text: str = "1", **more: str) -> None:
    """A folder that looks like a model's."""
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "a").write_text(text)
    for name, content in more.items():
        (folder / name).write_text(content)
    files = ["weights/a", *more]
    about = {"name": "x", "provenance": {"data_fingerprint": FINGERPRINT}}
    (folder / "metrics.json").write_text(json.dumps({"files": files, **about}))


def test_a_model_that_was_sent_answers_as_the_one_here(churn: Path, memory: Any) -> None:
    with written_to(URL, is_replaced=False) as folder:
        for file in (churn / "model").rglob("*"):
            if file.is_file():
                target = folder / file.relative_to(churn / "model")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.read_bytes())
    assert not folder.parent.exists()
    here, there = (hpo.load(place) for place in (churn / "model", URL))
    assert there.metrics == here.metrics
    table = churn / "table.csv"
    pd.testing.assert_frame_equal(there.predict(table), here.predict(table))


def test_metrics_arrive_last_and_are_taken_away_first(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    move, remove = memory.mv, memory.rm
    monkeypatch.setattr(type(memory), "mv", lambda _, a, b: (done.append(f"mv {b}"), move(a, b)))
    monkeypatch.setattr(
        type(memory), "rm", lambda _, p, **k: (done.append(f"rm {p}"), remove(p, **k))
    )
    with written_to(URL, is_replaced=False) as folder:
        write(folder, old="x")
    assert local_model(URL).joinpath("weights", "a").read_text() == "1"
    with written_to(URL, is_replaced=True) as folder:
        write(folder, "2")
    names = [one.replace("/bucket/model/", "") for one in done if ".arriving" not in one]
    assert names == [
        *("mv old", "mv weights/a", "mv metrics.json"),
        *("rm metrics.json", "rm old", "rm weights/a", "mv weights/a", "mv metrics.json"),
    ]
    # This process has read the first one before.
    assert local_model(URL).joinpath("weights", "a").read_text() == "2"
    assert not local_model(URL).joinpath("old").exists()
    files = ["/bucket/model/metrics.json", "/bucket/model/weights/a"]
    assert sorted(memory.find("/bucket")) == files


def test_a_model_stays_where_the_one_that_replaces_it_cannot_be_sent(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written_to(URL, is_replaced=False) as folder:
        write(folder)
    put = memory.put_file

    def broken(_: Any, file: str, target: str, **how: Any) -> None:
        put(file, target, **how)
        raise OSError("the line is down")

    monkeypatch.setattr(type(memory), "put_file", broken)
    writing = written_to(URL, is_replaced=True, about=ABOUT)
    write(folder := writing.__enter__(), "2", **{"spec.yaml": "name: y\n"})
    with pytest.raises(HpoError, match=r"cannot be written \(the line is down\): the model is in"):
        writing.__exit__(None, None, None)
    assert local_model(URL).joinpath("weights", "a").read_text() == "1"
    # The new one is not lost to the next run.
    with pytest.raises(
        HpoError,
        match=r"of another command, or of other data, could not be sent and is in .*/model:",
    ):
        written_to(URL, is_replaced=True).__enter__()
    assert (folder / "weights" / "a").read_text() == "2"
    monkeypatch.setattr(type(memory), "put_file", lambda _, *what, **how: put(*what, **how))
    assert not send_again(URL, "name: another\n", lambda: FINGERPRINT, is_replaced=True)
    assert not send_again(URL, ABOUT, lambda: "of other rows", is_replaced=True)
    with pytest.raises(HpoError, match=r"holds a trained model: .* or --force to replace it"):
        send_again(URL, ABOUT, lambda: FINGERPRINT, is_replaced=False)
    assert send_again(URL, ABOUT, lambda: FINGERPRINT, is_replaced=True)
    assert local_model(URL).joinpath("weights", "a").read_text() == "2"
    assert not send_again(URL, ABOUT, lambda: FINGERPRINT, is_replaced=True)


def test_what_others_put_there_during_a_training_stays(memory: Any) -> None:
    writing = written_to(URL, is_replaced=False)
    write(writing.__enter__())
    memory.pipe(f"{URL}/metrics.json", b'{"files": []}')
    with pytest.raises(
        HpoError, match=r"holds a trained model: .* replace it; the new model is in"
    ):
        writing.__exit__(None, None, None)
    assert memory.cat(f"{URL}/metrics.json") == b'{"files": []}'


def test_two_runs_do_not_write_one_model(memory: Any) -> None:
    with written_to(URL, is_replaced=False) as folder:
        write(folder)
        with pytest.raises(HpoError, match="another run of hpo writes it: wait for its end"):
            written_to(URL, is_replaced=False).__enter__()


def test_a_url_with_a_password_is_refused_and_not_shown(memory: Any) -> None:
    for url in ("https://me:geheim@host/model", "https://host/model?X-Amz-Signature=geheim"):
        for use in (local_model, lambda url: written_to(url, is_replaced=False).__enter__()):
            with pytest.raises(HpoError, match="holds a password or key") as refused:
                use(url)
            assert "geheim" not in str(refused.value)


def test_a_web_server_and_an_unknown_one_are_no_places_for_a_model() -> None:
    for url in ("https://host/model", "nowhere://host/model"):
        with pytest.raises(HpoError, match=r"-o \w+://host/model: nothing can be written there"):
            written_to(url, is_replaced=False).__enter__()


def test_a_url_that_ends_in_dots_has_a_folder_of_its_own(memory: Any) -> None:
    assert written_to("memory://bucket/..", is_replaced=True).__enter__().name == "model"


def test_nothing_of_another_is_replaced(memory: Any) -> None:
    memory.pipe(f"{URL}/notes.txt", b"mine")
    with pytest.raises(HpoError, match=r"^-o memory://bucket/model: holds other files: give a"):
        written_to(URL, is_replaced=True).__enter__()
    memory.pipe(f"{URL}/metrics.json", b'{"files": []}')
    with pytest.raises(HpoError, match=r"holds a trained model: give another folder, or --force"):
        written_to(URL, is_replaced=False).__enter__()
    with pytest.raises(HpoError, match=r"holds notes\.txt, which hpo did not write"):
        written_to(URL, is_replaced=True).__enter__()
    memory.pipe(f"{URL}/metrics.json", b"{")
    with pytest.raises(HpoError, match=r"^-o memory://bucket/model: cannot be used \(.*\): give"):
        written_to(URL, is_replaced=True).__enter__()


def test_a_training_that_fails_sends_nothing_and_one_that_cannot_be_sent_is_kept(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> None:
        with written_to(URL, is_replaced=False) as folder:
            (folder.parent / ".model.checkpoint.safetensors").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not memory.store
    # The next one finds the checkpoint of a training that was stopped.
    place = None

    def unsent() -> None:
        nonlocal place
        with written_to(URL, is_replaced=False) as folder:
            place = folder
            assert not folder.exists()
            assert (folder.parent / ".model.checkpoint.safetensors").exists()
            write(folder)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("no key")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    with pytest.raises(HpoError, match=r"cannot be written \(no key\): the model is in .*/model\."):
        unsent()
    assert place is not None
    assert (place / "metrics.json").exists()


def test_a_folder_that_is_not_there_or_sends_too_much_is_refused(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HpoError, match=r"^memory://no/model: is not there: correct the URL"):
        hpo.load("memory://no/model")
    memory.pipe(f"{URL}/metrics.json", b"{}" * 99)
    find = memory.find

    def small(_: Any, path: str, **how: Any) -> Any:
        return {name: {**info, "size": 3} for name, info in find(path, **how).items()}

    monkeypatch.setattr(type(memory), "find", small)
    with pytest.raises(HpoError, match=r"sends more than the 3 bytes that it tells"):
        hpo.load(URL)


def test_an_unsent_model_is_known_by_the_run_that_wrote_it(memory: Any) -> None:
    def stopped(about: str, *, is_written: bool) -> None:
        writing = written_to(URL, is_replaced=False, about=about)
        folder = writing.__enter__()
        if is_written:
            write(folder)
        assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    stopped("name: before\n", is_written=False)
    stopped(ABOUT, is_written=True)
    assert not send_again(URL, "name: before\n", lambda: FINGERPRINT, is_replaced=False)
    assert send_again(URL, ABOUT, lambda: FINGERPRINT, is_replaced=False)


def test_new_data_may_lie_at_a_url(churn: Path, memory: Any) -> None:
    memory.pipe("/bucket/new.csv", (churn / "table.csv").read_bytes())
    model = hpo.load(churn / "model")
    expected = model.predict(churn / "table.csv")
    pd.testing.assert_frame_equal(model.predict("memory://bucket/new.csv"), expected)
    assert model.score("memory://bucket/new.csv") == model.score(churn / "table.csv")
    frame = pd.read_csv(churn / "table.csv")
    for name, rows in (("a", frame[:50]), ("b", frame[50:])):
        memory.pipe(f"/bucket/new/{name}.parquet", rows.to_parquet())
    pd.testing.assert_frame_equal(model.predict("memory://bucket/new"), expected)


def test_a_url_of_data_that_cannot_be_read_is_one_sentence(memory: Any) -> None:
    with pytest.raises(
        HpoError, match=r"^memory://bucket/none\.csv: is not there: correct the URL"
    ):
        local_data("memory://bucket/none.csv")
    with pytest.raises(HpoError, match=r"^the URL of the data: holds a password or key"):
        local_data("https://me:secret@example.org/new.csv")
    with pytest.raises(HpoError, match=r"^https:/example\.org/a\.csv: is a URL that lacks a slash"):
        local_data(Path("https://example.org/a.csv"))
