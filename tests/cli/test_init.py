"""`hpo init`."""

import pytest

from tests.data.overview.samples import booleans


@pytest.fixture
def loans(tmp_path):
    (tmp_path / "loans.csv").write_text(booleans())


def test_a_file_becomes_a_spec_that_is_searched(hpo, loans, tmp_path):
    made = hpo("init", "loans.csv", "--preset", "quick")
    searched = hpo("search", "loans.yaml", "--quiet", "--trials", "2", "--set", "train.epochs=2")

    assert made.code == 0, made.err
    assert made.out.startswith("loans.csv: 200 rows, 5 columns -> classification of 'approved'")
    assert made.out.endswith("next: hpo search loans.yaml, then hpo train loans.yaml -o model/\n")
    assert hpo("check", "loans.yaml").code == 0
    assert searched.code == 0, searched.err
    assert "best accuracy" in searched.out


def test_a_file_that_exists_is_replaced_on_demand_alone(hpo, loans, tmp_path):
    (tmp_path / "loans.yaml").write_text("mine")

    refused = hpo("init", "loans.csv")
    kept = (tmp_path / "loans.yaml").read_text()
    replaced = hpo("init", "loans.csv", "--force")

    assert refused.code == 2
    assert refused.err.startswith("loans.yaml: exists: ")
    assert kept == "mine"
    assert replaced.code == 0
    assert "name: loans" in (tmp_path / "loans.yaml").read_text()


def test_target_time_and_file_are_as_asked(hpo, loans, tmp_path):
    made = hpo("init", "loans.csv", "--target", "married", "--time", "5m", "-o", "other.yaml")

    text = (tmp_path / "other.yaml").read_text()
    assert made.code == 0, made.err
    assert "target: married  # as asked" in text
    assert "timeout: 5m" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no.csv",), "there is no file or folder 'no.csv'"),
        (("loans.csv", "--target", "wed"), "--target: unknown column 'wed'"),
        (("loans.csv", "--time", "soon"), "--time: soon is not a duration"),
        (("loans.csv", "-o", "no/x.yaml"), "-o no/x.yaml: cannot be written"),
    ],
)
def test_what_a_user_gets_wrong_is_refused_in_one_line(words, message, hpo, loans):
    refused = hpo("init", *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith(message)
    assert refused.err.count("\n") == 1
