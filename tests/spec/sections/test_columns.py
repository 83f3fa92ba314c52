"""What a spec says about the columns of a table."""

from __future__ import annotations

import pytest

from hpo.errors import SpecError
from hpo.spec.load import load_experiment
from hpo.spec.sections.columns import Column, Columns
from hpo.spec.sections.data import CsvFile, DataSpec

SPEC = """\
name: t
data:
  dataset: {{csv: t.csv, target: y}}
  columns:
    {columns}
model: {{name: mlp}}
optimizer: {{name: sgd}}
train: {{epochs: 2}}
{space}
"""


def load(folder, columns, space=""):
    (folder / "t.csv").write_text("a,y\n1,2\n")
    (folder / "spec.yaml").write_text(SPEC.format(columns=columns, space=space))
    return load_experiment(folder / "spec.yaml")


def test_what_a_column_leaves_out_is_as_for_all_columns(tmp_path):
    columns = load(
        tmp_path, "{encode: target, flag: true, by_name: {city: {encode: hashing, buckets: 9}}}"
    ).training.data.columns
    city, other = columns.of("city"), columns.of("other")
    assert (city.encode, city.buckets, city.flag, city.impute) == ("hashing", 9, True, "median")
    assert (other.encode, other.buckets, other.flag) == ("target", 64, True)


def test_specs_with_columns_can_be_keys():
    def spec(buckets):
        columns = Columns(by_name={"a": Column(buckets=buckets), "b": Column(drop=True)})
        return DataSpec(dataset=CsvFile(csv="t.csv", target="y"), columns=columns)

    assert len({spec(3), spec(3), spec(4)}) == 2


def test_a_column_is_written_with_what_differs_alone():
    written = Columns(by_name={"a": {"type": "date"}, "b": {}}).model_dump(mode="json")
    assert written["by_name"] == {"a": {"type": "date"}, "b": {}}
    assert Columns.model_validate(written).by_name["a"] == Column(type="date")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            "{by_name: {a: {encode: onehot}}}",
            "data.columns.by_name.a.encode: cannot be 'onehot'. Did you mean 'one_hot'?",
        ),
        ("{by_name: {a: {imput: mean}}}", "data.columns.by_name.a.imput: unknown key 'imput'."),
        ("{by_name: {a: log}}", "data.columns.by_name.a: cannot be 'log': write a mapping"),
        ("{by_name: [a]}", "data.columns.by_name: cannot be ['a']: write a mapping"),
        ("{by_name: {a: {buckets: 0}}}", "data.columns.by_name.a.buckets: cannot be 0"),
        ("{transform: sqrt}", "data.columns.transform: unknown name 'sqrt'."),
        ("{smoothing: -1}", "data.columns.smoothing: cannot be -1"),
    ],
)
def test_a_mistake_is_told_with_its_column(tmp_path, columns, told):
    with pytest.raises(SpecError) as error:
        load(tmp_path, columns)
    (line,) = str(error.value).splitlines()
    assert told in line
    assert line.removeprefix(f"{tmp_path}/").startswith("spec.yaml:5: ")


def test_what_holds_for_all_columns_may_vary_and_what_holds_for_one_may_not(tmp_path):
    space = "space: {data.columns.encode: {choice: [one_hot, target]}}"
    search = "\nsearch: {objective: {minimize: loss}, trials: 2}"
    experiment = load(tmp_path, "{by_name: {a: {encode: ordinal}}}", space + search)
    assert [one.path for one in experiment.space.dimensions] == ["data.columns.encode"]
    with pytest.raises(SpecError, match=r"space\.data\.columns\.by_name\.a\.encode"):
        load(tmp_path, "{by_name: {a: {}}}", space.replace("columns.", "columns.by_name.a."))
