"""What a server answers, without a network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.errors import HpoError
from hpo.trained.ensembles.ensemble import load_answering
from hpo.trained.predict import answers
from hpo.trained.serving.service import RequestError, Service
from tests.study.whole import Studies
from tests.trained.tables import an_experiment

NEW = {"age": 40.5, "city": "Paris", "income": 40.5, "member": True, "when": "2024-03-01"}


@pytest.fixture(scope="module")
def service(churn: Path) -> Service:
    return Service(load_answering(churn / "model", "cpu"), 100, 0.05)


def rows_in(folder: Path, count: int) -> list[dict[str, Any]]:
    table = pd.read_csv(folder / "table.csv").drop(columns="churn").head(count)
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def sent(service: Service, value: Any) -> dict[str, Any]:
    return service.predict(json.dumps(value).encode())


@pytest.mark.parametrize("count", [1, 7, 50])
def test_answers_are_those_of_predict(churn: Path, service: Service, count: int) -> None:
    rows = rows_in(churn, count)
    expected = hpo.load(churn / "model").predict(pd.read_csv(churn / "table.csv").head(count))
    found = pd.DataFrame(sent(service, {"rows": rows})["answers"])
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert sent(service, rows) == sent(service, {"rows": rows})


def test_a_single_row_and_a_new_category_are_answered(churn: Path, service: Service) -> None:
    found = sent(service, rows_in(churn, 1)[0] | {"city": "Paris", "age": None})
    (answer,) = found["answers"]
    assert answer.keys() == {"churn", "churn_no", "churn_yes"}
    assert found["notes"][0].startswith("the rows: ")
    assert "1 row with a category that no training row has" in found["notes"][0]


def test_the_schema_names_each_input_and_its_example_is_answered(service: Service) -> None:
    schema = service.schema()
    kinds = {name: one["type"] for name, one in schema["columns"].items()}
    assert kinds == {
        "age": "number",
        "city": "category",
        "income": "number",
        "member": "boolean",
        "when": "date",
    }
    assert schema["columns"]["city"]["values"] == ["Bonn", "Oslo", "Rome"]
    assert (schema["task"], schema["classes"]) == ("classification", ["no", "yes"])
    assert len(sent(service, schema["example"])["answers"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"", 400, "the body is no JSON"),
        (b"{", 400, "the body is no JSON"),
        (b"\xff\xfe", 400, "the body is no JSON"),
        (b"[" * 100_000, 400, "the body is no JSON"),
        (b'{"rows": [{"age": NaN}]}', 400, "NaN is no number of JSON"),
        (b'{"rows": [{"age": ' + b"9" * 5000 + b"}]}", 400, "the body is no JSON"),
        (b'[{"age": 1, "age": 2}]', 422, "an object has 'age' twice: send it once"),
        (b'{"rows": [], "rows": [{}]}', 422, "an object has 'rows' twice"),
        (b"[]", 422, "the body holds no row"),
        (b'{"rows": []}', 422, "the body holds no row"),
        (b'"row"', 422, "the body holds no row"),
        (b"[1]", 422, "row 1 is no object"),
        (b'[{"age": [1]}]', 422, "row 1: column 'age' holds no number, text, flag or null"),
        (b'[{"age": {"a": 1}}]', 422, "row 1: column 'age' holds no number"),
        (b'[{"age": 1}]', 422, "the rows: has no column 'income', 'member', 'when' and"),
        (
            json.dumps([{f"c{place}": 1 for place in range(110_000)}, *[{}] * 99]).encode(),
            413,
            "100 rows have 110,000 columns together: send fewer",
        ),
        (json.dumps([{}] * 101).encode(), 413, "101 rows are more than 100: send them in parts"),
    ],
)
def test_a_body_that_does_not_suit_is_refused_in_a_sentence(
    service: Service, body: bytes, status: int, told: str
) -> None:
    with pytest.raises(RequestError) as refused:
        service.predict(body)
    assert refused.value.status == status
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("name", "cell"),
    [("age", "old"), ("income", 10**400), ("member", "perhaps"), ("when", "the day before")],
)
def test_a_cell_of_another_type_is_refused_with_its_column(
    churn: Path, service: Service, name: str, cell: Any
) -> None:
    with pytest.raises(RequestError, match=name) as refused:
        sent(service, rows_in(churn, 1)[0] | {name: cell})
    assert refused.value.status == 422


def test_a_busy_model_is_said_to_be_busy(
    churn: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = rows_in(churn, 1)[0]
    with _held(service, row, monkeypatch):
        with pytest.raises(RequestError, match="the model is busy") as refused:
            sent(service, row)
        assert refused.value.status == 503
    assert sent(service, row)


def test_requests_at_once_get_the_answers_of_their_own(churn: Path) -> None:
    service = Service(load_answering(churn / "model", "cpu"), 100, 60.0)
    rows = rows_in(churn, 40)
    expected = sent(service, rows)["answers"]
    found: dict[int, Any] = {}

    def ask(place: int) -> None:
        found[place] = sent(service, rows[place])["answers"][0]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[place] for place in range(len(rows))] == expected
    assert "hpo_rows_total 80\n" in service.metrics()


def test_requests_that_wait_share_a_call_unless_rows_could_change_each_other(
    churn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(load_answering(churn / "model", "cpu"), 100, 60.0)
    rows = [row for row in rows_in(churn, 40) if all(cell is not None for cell in row.values())]
    alike, lacking = rows[:4], {**rows[4], "age": None}
    # Beside the second date, the first one could be read, too.
    apart = [{**rows[5], "when": "03/04/2024"}, {**rows[6], "when": "13/04/2024"}]
    apart.append({**rows[7], "age": "old"})
    for requests, calls, answered in (
        (alike, 1, 4),
        ([*alike, lacking], 2, 5),
        (apart, 1, 1),
        # A new category is told, so that all whom the call answers are answered again, each alone.
        ([*alike, NEW], 6, 5),
    ):
        alone = [_said(service, row) for row in requests]
        before = counts_of(service)
        assert _together(service, requests, monkeypatch) == alone
        after = counts_of(service)
        # One more of each is that which holds the turn.
        assert after["hpo_model_calls_total"] - before["hpo_model_calls_total"] == calls + 1
        assert after["hpo_rows_total"] - before["hpo_rows_total"] == answered + 1
        assert len({*map(str, alone)}) == len(requests)


def _together(service: Service, requests: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What requests are told that arrive while the model is busy."""
    found: dict[int, Any] = {}

    def ask(place: int) -> None:
        found[place] = _said(service, requests[place])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(requests))]
    with _held(service, NEW, monkeypatch):
        for thread in threads:
            thread.start()
        while service.turns.waiting < len(requests):
            threads[0].join(0.001)
    for thread in threads:
        thread.join()
    return [found[place] for place in range(len(requests))]


@contextmanager
def _held(service: Service, row: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A time in which the model is busy with a row."""
    has_begun, may_end = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        has_begun.set()
        assert may_end.wait(60)
        return answers(*given)

    with monkeypatch.context() as patch:
        patch.setattr("hpo.trained.serving.service.answers", slowly)
        first = threading.Thread(target=sent, args=(service, row))
        first.start()
        assert has_begun.wait(60)
    yield
    may_end.set()
    first.join()


def counts_of(service: Service) -> dict[str, float]:
    """The numbers that the server tells, by their names."""
    lines = [line.split(" ") for line in service.metrics().splitlines()]
    return {name: float(number) for name, number in (one for one in lines if len(one) == 2)}


def _said(service: Service, row: Any) -> Any:
    try:
        return sent(service, row)
    except RequestError as error:
        return str(error)


def test_what_was_done_is_told_as_prometheus_reads_it(service: Service) -> None:
    service.count("/predict", 200)
    service.count("/predict", 422)
    lines = service.metrics().splitlines()
    assert 'hpo_requests_total{path="/predict",status="422"} 1' in lines
    for line in lines:
        assert line.startswith("# ") or len(line.split(" ")) == 2
    assert service.metrics().endswith("\n")


def test_images_are_answered_by_their_pixels(studies: Studies, tmp_path: Path) -> None:
    spec = an_experiment(tmp_path, data={"dataset": "digits"}, train={"epochs": 1})
    studies.train(spec, tmp_path / "model")
    service = Service(load_answering(tmp_path / "model", "cpu"), 100, 60.0)
    schema = service.schema()
    assert (schema["shape"], schema["type"]) == ([8, 8, 1], "uint8")
    pixels = np.random.default_rng(0).integers(0, 17, (3, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "new.npz", x=pixels)
    expected = hpo.load(tmp_path / "model").predict(tmp_path / "new.npz")
    found = pd.DataFrame(sent(service, {"rows": pixels.tolist()})["answers"])
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert (
        sent(service, pixels[0].tolist())["answers"]
        == sent(service, pixels[:1].tolist())["answers"]
    )
    for rows, told in (
        ([[1, 2]], r"an example has the shape \[2\], and those of the training \[8, 8, 1\]"),
        (["a"], "rows are no arrays of numbers of the shape"),
        ((pixels + 0.5).tolist(), "pixels are whole numbers from 0 to 255"),
        ((pixels * 1000.0 - 1).tolist(), "pixels are whole numbers from 0 to 255"),
    ):
        with pytest.raises(HpoError, match=told):
            sent(service, rows)
