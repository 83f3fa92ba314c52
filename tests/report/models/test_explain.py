"""What `hpo explain` shows."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import numpy as np
from rich.console import Console

from hpo.report.models.explain import as_json, explain_view
from hpo.trained.explain.attribution import Attribution
from hpo.trained.explain.findings import BadToken, Explanation, Passage, Window, Wrong
from hpo.trained.explain.importance import Importance
from hpo.trained.explain.judging import Bin
from hpo.trained.explain.tokens import WordParts

FOUND = Explanation(
    40,
    {"loss": 0.5},
    "loss",
    (Importance("age", 0.5, 0.25, 0.75), Importance("city", -0.125, -0.25, 0.0)),
    (Wrong(2, None, 1.5, "no", "yes"),),
    classes=("no", "yes"),
    confusion=np.array([[18, 2], [1, 19]]),
    calibration=(Bin(0.8, 0.9, 40, 0.875, 0.925),),
    errors={"raw": 0.125, "tempered": 0.0625},
)


def shown(found: Explanation) -> list[str]:
    out = StringIO()
    Console(file=out, width=80).print(explain_view("model", found))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_parts_stand_one_below_another() -> None:
    assert shown(FOUND) == [
        "model  40 rows: loss 0.5000",
        "",
        "  column, and how much worse loss is without it (95 %)",
        "  age   0.5000   0.2500 to 0.7500   \u2501" + "\u2501" * 19,
        "  city  -0.1250  -0.2500 to 0.0000",
        "",
        "  class, and the rows that got each answer",
        "       no  yes",
        "  no   18  2",
        "  yes  1   19",
        "",
        "  calibration error 0.0625, without the temperature 0.1250",
        "  chance        rows  mean   right",
        "  0.80 to 0.90  40    0.875  0.925",
        "",
        "  the worst rows",
        "  row  truth  answer  loss",
        "  2    no     yes     1.5000",
    ]


def test_the_parts_of_columns_are_told_by_their_mean_size() -> None:
    parts = Attribution(("age", "city"), np.array([[1.0, -3.0], [1.0, 1.0]]), np.array([-2.0, 2.0]))
    lines = shown(replace(FOUND, importance=(), attribution=parts))
    start = lines.index("  column, and the mean size of its part in an answer (gap 0.0000)")
    assert [line.split()[:2] for line in lines[start + 1 : start + 3]] == [
        ["city", "2.0000"],
        ["age", "1.0000"],
    ]
    plain = as_json(replace(FOUND, attribution=parts))["attribution"]
    assert plain == {"sizes": {"city": 2.0, "age": 1.0}, "gap": 0.0}


def test_forecasts_have_steps_and_the_worst_windows() -> None:
    parts = np.array([[[1.0, -3.0], [1.0, 0.0], [3.0, 0.0]]])
    found = Explanation(
        9,
        {"rmse": 2.0},
        "rmse",
        (),
        (),
        attribution=Attribution(("heat", "power"), parts, np.array([2.0])),
        windows=(Window(5, "2024-01-05", 1.5, (1.0, 2.0), (2.5, 3.5)),),
        noun="window",
    )
    assert shown(found) == [
        "model  9 windows: rmse 2.0000",
        "",
        "  column, its mean part in the worst windows, and those of its steps (gap",
        "  0.0000)",
        "  heat   5.0000  \u2581\u2581\u2588",
        "  power  3.0000  \u2588\u2581\u2581",
        "",
        "  the worst windows: values 1 and 2 of 2 after a time",
        "  after       truth  forecast  mean error",
        "  2024-01-05  1, 2   2.5, 3.5  1.5000",
    ]
    plain = as_json(found)
    assert plain["attribution"]["steps"] == {"heat": [1.0, 1.0, 3.0], "power": [3.0, 0.0, 0.0]}
    assert plain["windows"] == [
        {
            "row": 5,
            "time": "2024-01-05",
            "error": 1.5,
            "truth": [1.0, 2.0],
            "forecast": [2.5, 3.5],
        }
    ]
    burst = found.windows[0]._replace(error=float("inf"), forecast=(float("nan"), 3.5))
    (told,) = as_json(replace(found, windows=(burst,)))["windows"]
    assert (told["error"], told["forecast"]) == (None, [None, 3.5])
    long = found.windows[0]._replace(truth=(1.0,) * 24, forecast=(1.0,) * 24)
    assert "  the worst windows: values 1, 9, 16 and 24 of 24 after a time" in shown(
        replace(found, windows=(long,))
    )
    one = found.windows[0]._replace(truth=(1.0,), forecast=(2.0,))
    assert "  the worst windows: the value after a time" in shown(replace(found, windows=(one,)))


def test_the_words_that_matter_most_stand_beside_their_rows() -> None:
    told = WordParts(3, "note", ("a", "great", "soup"), (0.125, 2.0, -0.5))
    found = replace(FOUND, words=(told,))
    assert shown(found)[-3:] == [
        "  the words whose absence changes the answer most, by how much",
        "  row  column  words",
        "  3    note    great +2, soup -0.5, a +0.125",
    ]
    assert as_json(found)["words"] == [
        {
            "row": 3,
            "column": "note",
            "words": ("a", "great", "soup"),
            "parts": [0.125, 2.0, -0.5],
        }
    ]


def test_masks_have_overlaps_of_pixels_and_the_worst_images() -> None:
    found = replace(
        FOUND,
        importance=(),
        worst=(Wrong(2, None, 1.5, "no 75%, yes 25%", "no 100%"),),
        overlaps=(0.75, 0.5),
        noun="image",
        judged="pixel",
    )
    lines = shown(replace(found, errors=None))
    assert lines[2:] == [
        "  class, and the pixels that got each answer",
        "       no  yes",
        "  no   18  2",
        "  yes  1   19",
        "",
        "  class, and its intersection over union",
        "  yes  0.5000  \u2501\u2501\u2501\u2501\u2501\u2501\u2501\u2501\u2501\u2501",
        "  no   0.7500  " + "\u2501" * 15,
        "",
        "  the worst images",
        "  image  truth            answer   loss",
        "  2      no 75%, yes 25%  no 100%  1.5000",
    ]
    assert as_json(found)["iou"] == {"no": 0.75, "yes": 0.5}
    unknown = replace(found, overlaps=(0.75, float("nan")))
    assert [one for one in shown(unknown) if one.startswith("  yes  -")] == ["  yes  -"]
    assert as_json(unknown)["iou"] == {"no": 0.75, "yes": None}


def test_texts_have_the_worst_passages_and_tokens() -> None:
    found = Explanation(
        3,
        {"loss": 2.0},
        "loss",
        (),
        (),
        passages=(
            Passage(
                row=2,
                loss=1.5,
                text="a\n\ufffd cat",
                tokens=("a", "\n", "", " cat"),
                losses=(0.5, 1.0, 4.0, 0.5),
                answers=("a", "b", "", "\n"),
            ),
        ),
        tokens=(BadToken("\n", 12, 7, 2.5, " cat"), BadToken("\\xe2", 9, 5, 1.5, "")),
        noun="passage",
        judged="token",
    )
    assert shown(found) == [
        "model  3 passages: loss 2.0000",
        "",
        "  the worst passages, by the mean loss of a token in nats",
        "  passage  loss    begins with  largest losses",
        "  2        1.5000  'a\\n\ufffd cat'   unknown 4, '\\n' 1, 'a' 0.5",
        "",
        "  the tokens that are answered badly most often",
        "  token   wrong    mostly answered  mean loss",
        "  '\\n'    7 of 12  ' cat'           2.5000",
        "  '\\xe2'  5 of 9   unknown          1.5000",
    ]
    plain = as_json(found)
    assert plain["passages"][0]["losses"] == [0.5, 1.0, 4.0, 0.5]
    assert plain["passages"][0]["text"] == "a\n\ufffd cat"
    assert plain["tokens"][0] == {
        "token": "\n",
        "times": 12,
        "wrong": 7,
        "loss": 2.5,
        "instead": " cat",
    }


def test_of_many_classes_the_most_frequent_mistakes_are_shown() -> None:
    counts = np.eye(20, dtype=int) * 5
    counts[3, 4], counts[9, 1] = 2, 7
    names = tuple(f"c{place}" for place in range(20))
    lines = shown(replace(FOUND, classes=names, confusion=counts, importance=(), worst=()))
    start = lines.index("  the most frequent mistakes")
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["class", "answer", "rows"],
        ["c9", "c1", "7"],
        ["c3", "c4", "2"],
    ]


def test_programs_get_the_same_numbers() -> None:
    found = as_json(FOUND)
    assert found["importance"][0] == {"column": "age", "mean": 0.5, "low": 0.25, "high": 0.75}
    assert found["confusion"] == [[18, 2], [1, 19]]
    assert found["worst"][0]["row"] == 2
