"""An exported folder answers alone, without JAX and without hpo, as `hpo predict` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.errors import HpoError
from hpo.trained.exported.folder import export_onnx, rows_to_compare
from hpo.trained.exported.standalone.predict import Model, RowError
from hpo.trained.model import load_model
from hpo.trained.predict import answers, read_new
from tests.trained.exported.drawn import data_of, drawn

# Fails where the script imports one of these.
ALONE = (
    "import runpy, sys\n"
    "sys.modules |= dict.fromkeys(('jax', 'hpo', 'pandas', 'onnx', 'sklearn'))\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')\n"
)
NEW = (
    "member,when,city,income,age,further\n"
    "True,2024-05-01,Oslo,31.5,44,x\n"
    "no,2024-05-01T18:30:00+02:00,,,,x\n"
    ",NA,Paris,1e1, 7,x\n"
    "1.0,1969-02-28 23:59:59.5,Rome,-3,3.0,\n"
)


@pytest.fixture(scope="module")
def folder(churn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported folder of a model of a table."""
    place = tmp_path_factory.mktemp("exported")
    model = load_model(churn / "model", "cpu")
    rows = rows_to_compare(model, churn / "table.csv", (), None)
    export_onnx(model, place / "model", rows, 1e-5)
    return place / "model"


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ALONE, str(folder / "predict.py"), *words],
        capture_output=True,
        text=True,
    )


def test_rows_with_empty_cells_and_new_categories_have_the_models_answers(
    folder: Path, churn: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    result = _run(
        folder, str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv"), "--batch", "3"
    )
    assert result.returncode == 0, result.stderr
    found = pd.read_csv(tmp_path / "out.csv")
    with pytest.warns(UserWarning, match="no training row has") as told:
        expected = hpo.load(churn / "model").predict(tmp_path / "new.csv")
    assert result.stderr.splitlines() == [str(one.message) for one in told]
    assert found["churn"].tolist() == expected["churn"].tolist()
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-5, check_dtype=False)


def test_numbers_far_outside_of_the_training_rows_are_told_as_hpo_predict_tells_them(
    folder: Path, churn: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.csv"
    new.write_text(NEW.replace("Paris", "Oslo").replace("31.5", "1e9").replace("-3", "-1e9"))
    result = _run(folder, str(new), "--batch", "1")
    with pytest.warns(UserWarning, match="check the unit of such numbers") as told:
        hpo.load(churn / "model").predict(new)
    assert result.returncode == 0
    assert result.stderr.splitlines() == [str(one.message) for one in told]
    assert result.stderr.count("column 'income': 1 row lies far") == 2


def test_an_exported_folder_is_no_model_of_hpo(folder: Path) -> None:
    told = f"{folder}: is an export, which answers without hpo: run `python "
    for load in (load_model, hpo.load):
        with pytest.raises(HpoError) as refused:
            load(folder)
        assert str(refused.value).startswith(told)


def test_mistakes_in_rows_are_told_in_a_line(folder: Path, tmp_path: Path) -> None:
    for text, message in (
        (
            NEW.replace("31.5", "much"),
            "new.csv: line 2: column 'income' holds 'much', not a number",
        ),
        (NEW.replace("no,", "perhaps,"), "line 3: column 'member' holds 'perhaps', not true or"),
        (
            NEW.replace("2024-05-01,", "5/1,"),
            "column 'when' holds '5/1', not a date like 2024-04-0",
        ),
        (NEW.replace("city", "town"), "new.csv: has no column 'city', which the model needs"),
        (
            NEW.replace("Oslo", '"Os\n\nlo"').replace("1e1", "x1"),
            "line 6: column 'income' holds 'x1'",
        ),
    ):
        (tmp_path / "new.csv").write_text(text)
        result = _run(folder, str(tmp_path / "new.csv"))
        assert (result.returncode, result.stdout) == (2, "")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert result.stderr.count("new.csv") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        NEW.splitlines()[0] + "\n\n",
        NEW.replace("further", "age"),
        NEW.replace(",44,x", ",44"),
        NEW.replace(",,,,x", ",,,,x,y,z"),
        NEW.replace("3.0,\n", '3.0,"x\ny\n'),
        NEW.replace("city,", "town,"),
    ],
    ids=["empty", "blank", "header", "twice", "narrow", "wide", "quote", "lacking"],
)
def test_tables_that_hpo_predict_refuses_are_refused_for_the_same_reason(
    folder: Path, churn: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "new.csv").write_text(text)
    result = _run(folder, str(tmp_path / "new.csv"), "-o", str(tmp_path / "out.csv"))
    with pytest.raises(HpoError) as told:
        hpo.load(churn / "model").predict(tmp_path / "new.csv")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == [tmp_path / "new.csv"]
    # The same words up to the cure, and the same line.
    where, _, why = result.stderr.removeprefix("predict.py: ").partition(": line ")
    told_line, why = why.split(":", 1) if why else ("", where.partition(": ")[2])
    expected = str(told.value)
    assert why.strip()[:25] in expected
    assert not told_line or f"new.csv:{told_line}: " in expected


def test_a_file_of_answers_is_replaced_only_with_force(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    new, out = str(tmp_path / "new.csv"), tmp_path / "out.csv"
    out.write_text("mine")
    result = _run(folder, new, "-o", str(out))
    assert (result.returncode, result.stdout) == (2, "")
    told = f"predict.py: -o {out}: exists: give another name, or --force to replace it\n"
    assert result.stderr == told
    assert out.read_text() == "mine"
    (tmp_path / "bad.csv").write_text(NEW + "x\n")
    result = _run(folder, str(tmp_path / "bad.csv"), "-o", str(out), "--force", "--batch", "1")
    assert (result.returncode, out.read_text()) == (2, "mine")
    assert _run(folder, new, "-o", str(out), "--force").returncode == 0
    assert out.read_text().startswith("churn,")
    assert {file.name for file in tmp_path.iterdir()} == {"new.csv", "bad.csv", "out.csv"}
    result = _run(folder, new, "-o", str(tmp_path / "none" / "out.csv"))
    assert result.returncode == 2
    assert "cannot be written there: give a file in a folder that exists" in result.stderr


def test_answers_go_to_standard_output_as_far_as_they_are_read(
    folder: Path, tmp_path: Path
) -> None:
    head, *rows = NEW.splitlines(keepends=True)
    (tmp_path / "new.csv").write_text(head + "".join(rows) * 5000)
    words = [sys.executable, str(folder / "predict.py"), "new.csv", "-o", "-"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "churn,churn_no,churn_yes\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert not (tmp_path / "-").exists()


def test_rows_may_be_mappings(folder: Path) -> None:
    model = Model(folder)
    row = {"member": True, "when": "2024-05-01", "city": None, "income": 31.5, "age": 44}
    found = model.answers([row])
    assert [*found] == ["churn", "churn_no", "churn_yes"]
    assert found["churn_no"] + found["churn_yes"] == pytest.approx(1)
    with pytest.raises(RowError, match="'1_0', not a number"):
        model.answers([{**row, "age": "1_0"}])


def test_arrays_come_from_files_of_numpy(tmp_path: Path) -> None:
    spec = {"name": "cnn", "filters": [4], "dense": 8}
    model, rows = drawn(tmp_path, data_of(tmp_path, "colours"), spec)
    assert rows is not None
    export_onnx(model, tmp_path / "out", rows, 1e-5)
    np.savez(tmp_path / "new.npz", x=rows.x)
    result = _run(tmp_path / "out", str(tmp_path / "new.npz"))
    assert result.stdout.splitlines()[0] == "prediction,prediction_0,prediction_1,prediction_2"
    assert len(result.stdout.splitlines()) == 1 + len(rows.x)
    with pytest.raises(RowError, match=r"has the shape \[8, 8\], and the model takes \[8, 8, 3\]"):
        Model(tmp_path / "out").answers_to(rows.x[..., 0])
    for words, code, message in (
        (["--batch", "0"], 2, "--batch cannot be 0: write 1 or more"),
        ([], 2, "has no array 'x"),
    ):
        np.savez(tmp_path / "new.npz", pixels=rows.x)
        result = _run(tmp_path / "out", str(tmp_path / "new.npz"), *words)
        assert (result.returncode, result.stdout) == (code, "")
        assert message in result.stderr
        assert "Traceback" not in result.stderr
    (tmp_path / "new.csv").write_text(NEW)
    result = _run(tmp_path / "out", str(tmp_path / "new.csv"))
    assert "no input of this model: give a .npz or .npy file with arrays" in result.stderr
    (tmp_path / "new.npz").write_bytes(b"PK no archive")
    assert _run(tmp_path / "out", str(tmp_path / "new.npz")).stderr.count("\n") == 1


def test_masks_are_an_array_as_the_model_writes_them(tmp_path: Path) -> None:
    spec = {"name": "unet", "filters": 2, "depth": 1}
    model, rows = drawn(tmp_path, data_of(tmp_path, "masks"), spec)
    assert rows is not None
    found = export_onnx(model, tmp_path / "out", rows, 1e-5, is_judged=True)
    assert found.metrics is not None
    assert {"iou", "pixel_accuracy"} < found.metrics["export"].keys()
    np.savez(tmp_path / "new.npz", x=rows.x)
    new, out = str(tmp_path / "new.npz"), str(tmp_path / "answers.npz")
    result = _run(tmp_path / "out", new)
    assert (result.returncode, result.stdout) == (2, "")
    assert "masks are an array: give -o FILE.npz" in result.stderr
    result = _run(tmp_path / "out", new, "-o", out, "--batch", "2")
    assert (result.returncode, result.stderr) == (0, "")
    (expected,) = answers(model, read_new(model, tmp_path / "new.npz"))
    with np.load(out) as masks:
        assert masks.files == [*expected] == ["y"]
        np.testing.assert_array_equal(masks["y"], expected["y"])
        assert masks["y"].dtype == expected["y"].dtype


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported model of a series, with new rows and what the model forecasts."""
    folder = tmp_path_factory.mktemp("days")
    model, rows = drawn(folder, data_of(folder, "windows"), {"name": "rnn", "width": 4})
    assert rows is not None
    found = export_onnx(model, folder / "out", rows, 1e-5, is_judged=True)
    assert found.rows == len(rows) - 3
    assert found.metrics is not None
    table = (folder / "days.csv").read_text().splitlines()
    lines = [table[0], *table[:0:-3]]
    lines[2] = lines[2].replace(",u,", ",new,").replace(",v,", ",new,").replace(",w,", ",new,")
    (folder / "new.csv").write_text("\n".join(lines) + "\n")
    new = read_new(model, folder / "new.csv")
    (expected,) = answers(model, new)
    pd.DataFrame(expected).to_csv(folder / "expected.csv", index=False)
    return folder


@pytest.mark.filterwarnings("ignore:.*a category that no training row has")
def test_a_series_in_any_order_is_forecast_as_the_model_does(days: Path, tmp_path: Path) -> None:
    result = _run(
        days / "out", str(days / "new.csv"), "-o", str(tmp_path / "a.csv"), "--batch", "3"
    )
    assert result.returncode == 0
    new = days / "new.csv"
    note = f"{new}: column 'mode': 1 row with a category that no training row has, such as 'new'"
    assert result.stderr == f"{note}: predicted without it.\n"
    found, expected = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(days / "expected.csv")
    assert [*found] == ["day", "power_1", "power_2"]
    assert len(found) == 20 - 3
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-5)
    rows = pd.read_csv(days / "new.csv", dtype=str).fillna("").to_dict("records")
    again = Model(days / "out").answers(rows)
    assert again["day"].tolist() == found["day"].tolist()
    np.testing.assert_allclose(again["power_2"], found["power_2"], atol=1e-5)


@pytest.mark.long
def test_mistakes_in_a_series_are_told_in_a_line(days: Path, tmp_path: Path) -> None:
    head, *lines = (days / "new.csv").read_text().splitlines()
    cells = lines[1].split(",")
    for wrong, told in (
        ([head, *lines[:3]], "has 3 rows, and a window has 4: give more rows"),
        ([head, *lines, lines[0]], "two rows have the time '2024-"),
        ([head, lines[0], ",".join(["", *cells[1:]])], "line 3: column 'day' is empty"),
        ([head, lines[0], ",".join(["soon", *cells[1:]]), *lines[2:]], "holds 'soon', not a num"),
        ([head, lines[0], ",".join([*cells[:3], ""])], "line 3: column 'power' is empty, and a fo"),
        ([head.replace("day", "date"), *lines], "has no column 'day'"),
        ([head.replace("power", "watt"), *lines], "has no column 'power'"),
        ([head], "has a header and no rows below it"),
    ):
        (tmp_path / "new.csv").write_text("\n".join(wrong) + "\n")
        result = _run(days / "out", str(tmp_path / "new.csv"))
        assert (result.returncode, result.stdout) == (2, "")
        assert told in result.stderr
        assert result.stderr.count("\n") == 1


def test_an_array_is_no_series(days: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", np.zeros((9, 3)))
    result = _run(days / "out", str(tmp_path / "new.npy"))
    assert result.stderr.endswith("is no input of this model: give a .csv file with rows\n")


def test_times_are_numbers_or_dates_of_any_zone(days: Path) -> None:
    model, row = Model(days / "out"), {"heat": 30, "mode": "u", "power": 5.0}
    numbers = [{**row, "day": time} for time in (10, 9.5, "2", -3)]
    assert model.answers(numbers)["day"].tolist() == ["10"]
    dates = ("2024-05-01T01:00:00+02:00", "2024-04-30T22:30:00", "2024-04-30", "1969-01-01")
    assert model.answers([{**row, "day": date} for date in dates])["day"].tolist() == [dates[0]]
    mixed = [{**row, "day": time} for time in (1, 2, "2024-04-30", 3)]
    with pytest.raises(RowError, match="holds '1', not a number, or a date like"):
        model.answers(mixed)
