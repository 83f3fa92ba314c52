"""The commands of `hpo data`."""

import json

from tests.cli.samples import FLOWERS


def test_data_sets_are_listed_with_the_way_to_get_them(hpo, monkeypatch, tmp_path):
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / "x.gz").touch()
    monkeypatch.setenv("HPO_DATA", str(tmp_path / "data"))

    rows = {row["name"]: row for row in json.loads(hpo("data", "list", "--json").out)}
    lines = hpo("data", "list").out.splitlines()

    assert rows["digits"]["is_here"] is True
    assert rows["mnist"]["path"] == str(tmp_path / "data" / "mnist")
    assert rows["fashion_mnist"]["is_here"] is False
    assert any("hpo data get fashion_mnist (31 MB)" in line for line in lines)


def test_files_of_a_study_are_prepared_once_until_the_copies_are_deleted(
    hpo, tmp_path, monkeypatch
):
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    rows = "".join(f"{i},{i % 3},{i % 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f"a,b,y\n{rows}")
    document = FLOWERS.replace("dataset: iris", "dataset: {csv: t.csv, target: y}")
    (tmp_path / "t.yaml").write_text(document)

    assert hpo("search", "t.yaml", "--quiet").code == 0
    assert "1 preprocessed data set, " in hpo("data", "list").out
    (tmp_path / "t.csv").chmod(0o644)
    assert hpo("search", "t.yaml", "--quiet", "--set", "name=again").code == 0
    assert "1 preprocessed data set, " in hpo("data", "list").out
    assert hpo("data", "clear").out.startswith("Deleted: 1 preprocessed data set, ")
    assert "preprocessed" not in hpo("data", "list").out
    assert hpo("data", "clear").out == "Deleted: 0 preprocessed data sets, 0.0 MB.\n"
