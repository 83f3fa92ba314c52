"""A first spec from a file."""

import pytest

from hpo.api.starting import first_spec, overview
from hpo.errors import HpoError
from hpo.spec.load import load_experiment

TABLE = "".join(f"{n % 7},{n * n % 11},{'ab'[n % 2]}\n" for n in range(60))


def test_the_written_spec_finds_its_data_from_its_own_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").write_text(f"u,v,y\n{TABLE}")
    monkeypatch.chdir(tmp_path)

    for out in (tmp_path / "t.yaml", tmp_path / "data" / "t.yaml"):
        made = first_spec("data/t.csv", out, None)
        out.write_text(made.text)
        assert load_experiment(out).training.data.dataset.csv == (
            "data/t.csv" if out.parent == tmp_path else "t.csv"
        )


def test_data_are_found_below_the_folder_of_data_sets_too(tmp_path):
    (tmp_path / "home" / "set").mkdir(parents=True)
    (tmp_path / "home" / "set" / "t.csv").write_text(f"u,v,y\n{TABLE}")
    found = overview("set/t.csv", tmp_path, tmp_path / "home")
    assert found.dataset["csv"] == "set/t.csv"


def test_a_download_is_known_by_its_name(tmp_path):
    with pytest.raises(HpoError, match="run `hpo data get etth1`"):
        overview("etth1", tmp_path, tmp_path)

    (tmp_path / "etth1").mkdir()
    (tmp_path / "etth1" / "ETTh1.csv").write_text(f"u,v,y\n{TABLE}")
    assert overview("etth1", tmp_path, tmp_path).dataset["csv"] == "etth1/ETTh1.csv"


def test_a_url_is_not_opened(tmp_path):
    with pytest.raises(HpoError, match=r"'https://a\.org/t\.csv': a look opens no URL"):
        overview("https://a.org/t.csv", tmp_path, tmp_path)


def test_a_path_that_leads_nowhere_is_refused(tmp_path):
    with pytest.raises(HpoError, match=r"there is no file or folder 'no\.csv'"):
        first_spec("no.csv", tmp_path / "x.yaml", None)


def test_a_table_that_its_reader_refuses_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "t.csv").write_text(f"u,v,y\n{TABLE}1,2,a,5\n")
    with pytest.raises(HpoError, match=r"t\.csv:62: has 4 cells where the header has 3"):
        first_spec(str(tmp_path / "t.csv"), tmp_path / "x.yaml", None)
