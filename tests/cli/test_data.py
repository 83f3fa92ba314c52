"""The commands of `hpo data`."""

import hashlib
import json

from hpo.data.download import DOWNLOADS, Download, RemoteFile
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


def test_a_file_is_shown_with_its_columns_and_what_is_remarkable(hpo, tmp_path):
    rows = "".join(f"{n * 37 % 101},k,{'ab'[n % 2]}\n" for n in range(60))
    (tmp_path / "t.csv").write_text(f"size,same,y\n{rows}")

    shown = hpo("data", "show", "t.csv")
    document = json.loads(hpo("data", "show", "t.csv", "--target", "size", "--json").out)

    assert shown.code == 0, shown.err
    assert shown.out.startswith(
        "t.csv: 60 rows, 3 columns\n  classification of 'y' (2 classes, 50 %"
    )
    assert "column 'same' is left out: it has the same value in every row" in shown.out
    assert document["target"]["names"] == ["size"]
    assert [column["distinct"] for column in document["columns"]] == [60, 1, 2]
    assert [*tmp_path.iterdir()] == [tmp_path / "t.csv"]


def test_a_named_data_set_is_shown(hpo):
    assert (
        "classes: 'setosa' 50, 'versicolor' 50, 'virginica' 50" in hpo("data", "show", "iris").out
    )
    assert hpo("data", "show", "digits").out.startswith("digits: 1,797 images of 8x8x1")
    assert hpo("data", "show", "mnist").err == (
        "mnist: is not on this machine: run `hpo data get mnist`.\n"
    )


def test_downloads_are_deleted_on_demand_and_files_of_other_contents_stay(
    hpo, tmp_path, monkeypatch
):
    content = b"1234"
    file = RemoteFile("a.gz", 4, hashlib.sha256(content).hexdigest())
    for name in ("toy", "mine"):
        monkeypatch.setitem(DOWNLOADS, name, Download("x:", (file,)))
        (tmp_path / "home" / name).mkdir(parents=True)
    (tmp_path / "home" / "toy" / "a.gz").write_bytes(content)
    (tmp_path / "home" / "mine" / "a.gz").write_bytes(b"4321")
    monkeypatch.setenv("HPO_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))

    kept = hpo("data", "clear")
    cleared = hpo("data", "clear", "--downloads")

    assert "download" not in kept.out
    assert cleared.out.splitlines()[-1] == "Deleted: 1 download (toy), 0.0 MB."
    assert not (tmp_path / "home" / "toy").exists()
    assert (tmp_path / "home" / "mine" / "a.gz").read_bytes() == b"4321"
