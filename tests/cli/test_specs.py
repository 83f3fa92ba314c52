"""What `hpo check` and `hpo schema` print of a spec."""

import json
import subprocess
import sys

import pytest

from hpo.spec.load import load_experiment, require_single
from hpo.spec.reference.json_schema import json_schema
from tests.cli.samples import FLOWERS


def test_schema_prints_the_json_schema_of_a_spec(hpo):
    result = hpo("schema")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == json_schema()


def test_schema_writes_a_file_and_says_how_a_spec_names_it(hpo, tmp_path):
    result = hpo("schema", "-o", "spec.json")
    assert (result.code, result.out) == (0, "")
    assert result.err.endswith("# yaml-language-server: $schema=spec.json\n")
    assert json.loads((tmp_path / "spec.json").read_text()) == json_schema()
    assert hpo("schema", "-o", "spec.json").code == 2
    assert hpo("schema", "-o", "spec.json", "--force").code == 0


def test_check_full_shows_every_leaf_and_where_its_value_comes_from(hpo, spec):
    plain, full = (
        hpo("check", str(spec)),
        hpo("check", str(spec), "--full", "--set", "train.seed=7"),
    )
    rows = {line.split()[0]: line.split(maxsplit=2) for line in full.out.splitlines() if line}

    assert full.out.startswith(plain.out)
    assert rows["train.epochs"] == ["train.epochs", "2", f"{spec}:5"]
    assert rows["train.seed"] == ["train.seed", "7", "--set train.seed=7"]
    assert rows["train.seeds"] == ["train.seeds", "1", "default"]
    assert rows["space.optimizer.learning_rate"][2].endswith(f"{spec}:7")
    leaves = json.loads(hpo("check", str(spec), "--full", "--json").out)["leaves"]
    assert {"path": "train.epochs", "value": "2", "from": f"{spec}:5"} in leaves


@pytest.mark.parametrize("sampler", ["random", "grid", "qmc"])
def test_a_trial_is_shown_before_it_runs_as_the_search_then_tries_it(hpo, spec, sampler):
    finite = "{choice: [0.1, 0.01, 0.001]}" if sampler == "grid" else "{float: [0.001, 0.1]}"
    change = [
        *("--set", f"search.sampler.name={sampler}"),
        *("--set", f"space.optimizer.learning_rate={finite}"),
    ]
    ahead = [
        json.loads(hpo("check", str(spec), *change, "--trial", str(n), "--json").out)
        for n in range(3)
    ]
    searched = hpo("search", str(spec), *change, "--quiet")

    assert searched.code == 0, searched.err
    shown = json.loads(hpo("show", "flowers", "--json").out)
    tried = {trial["number"]: trial["hparams"] for trial in shown["top"]}
    assert {trial["trial"]: trial["hparams"] for trial in ahead} == tried


def test_a_trial_before_it_runs_is_a_spec_that_can_be_trained(hpo, spec, tmp_path):
    shown = hpo("check", str(spec), "--trial", "2")
    (tmp_path / "two.yaml").write_text(shown.out)

    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("# Trial 2 of the study flowers, as it will start.\n")
    training = require_single(load_experiment(tmp_path / "two.yaml")).training
    assert training.train.stream == 2


@pytest.fixture
def people(tmp_path):
    """A spec of a table without a header, on a line of its own."""
    rows = [f"{age},{age % 3},{'no' if age % 2 else 'yes'}" for age in range(20, 60)]
    (tmp_path / "people.csv").write_text("\n".join([*rows, "60,,no", "61,2,?", ""]))
    path = tmp_path / "people.yaml"
    dataset = "{csv: people.csv, target: 'yes'}"
    path.write_text(
        FLOWERS.replace("flowers", "people").replace("dataset: iris", f"\n  dataset: {dataset}")
    )
    return path


def test_check_looks_at_the_head_of_the_data(hpo, people):
    told = hpo("check", str(people))
    assert told.code == 0
    assert "\ndata       people.csv: 41 rows of 3 columns\n" in told.out
    assert "\nnote       people.csv: the first row (20, 2, yes) looks like data" in told.out
    data = json.loads(hpo("check", str(people), "--json").out)
    assert data["data"] == "people.csv: 41 rows of 3 columns"
    assert any("looks like data" in note for note in data["notes"])


def test_check_tells_what_is_wrong_with_the_data_on_the_line_of_the_spec(hpo, people, tmp_path):
    told = hpo("check", str(people), "--set", "data.dataset.header=false")
    assert (told.code, told.out) == (2, "")
    assert told.err == (
        f"{people}:3: data.dataset.target: {tmp_path}/people.csv: unknown column 'yes'. Without a "
        "header the columns are column_1 to column_3.\n"
    )
    (tmp_path / "people.csv").unlink()
    assert hpo("check", str(people)).err.startswith(
        f"{people}:3: data.dataset.csv: there is no file 'people.csv' in {tmp_path}"
    )


def test_check_knows_the_task_that_the_head_of_a_table_shows(hpo, people):
    for change, text in (
        ("loss={name: mae}", "loss.name: mae is not a loss of classification"),
        ("search.objective={maximize: r2}", "r2 is not a metric of classification: write"),
    ):
        objective = ("--set", "search.objective={minimize: loss}")
        told = hpo("check", str(people), *objective, "--set", change)
        assert told.code == 2
        assert text in told.err


def test_a_search_warns_of_a_header_that_looks_like_data_and_of_rows_left_out(hpo, people):
    change = (
        "--set",
        "data.dataset.drop_rows.missing_target=true",
        "--set",
        "data.dataset.missing=['?']",
    )
    told = hpo("search", str(people), *change, "--set", "data.batch_size=8")
    assert told.code == 0, told.err
    assert "people.csv: the first row (20, 2, yes) looks like data and is read as" in told.err
    assert "people.csv: 1 row without a target is left out." in told.err


def test_check_imports_neither_numpy_nor_pandas(people):
    code = "import sys; from hpo.cli.app import app; "
    code += f"app(['check', {str(people)!r}], standalone_mode=False)"
    code += "; print(sorted({'numpy', 'pandas', 'jax', 'urllib.request'} & sys.modules.keys()))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--trial", "3"), "--trial 3: the study has 3 trials: write 0 to 2."),
        (
            ("--trial", "1", "--set", "search.sampler.name=cmaes"),
            "--trial 1: cmaes proposes it by the results of earlier trials, so only the search can "
            "tell.",
        ),
        (
            ("--trial", "1", "--full"),
            "hpo check: --trial prints a spec, --full a table: leave one out.",
        ),
    ],
)
def test_a_trial_that_cannot_be_shown_is_refused_with_the_reason(hpo, spec, arguments, message):
    assert hpo("check", str(spec), *arguments) == (2, "", f"{message}\n")


def test_check_summarizes_what_a_spec_would_run(hpo, spec):
    result = hpo("check", str(spec), "--set", "search.trials=5")

    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("flowers is valid.\n")
    assert "trials     5\n" in result.out


def test_check_gives_json(hpo, spec):
    document = json.loads(hpo("check", str(spec), "--json").out)
    assert (document["name"], document["trials"], document["epochs"]) == ("flowers", 3, 6)


def test_no_output_of_a_check_holds_a_password(hpo, spec):
    url = "postgresql://me:secret@host/db"
    spec.write_text(f"{spec.read_text()}  from: ['{url}#other']\nstudy: {{storage: '{url}'}}\n")
    for options in ([], ["--full"], ["--json"], ["--full", "--json"]):
        result = hpo("check", str(spec), *options)
        assert (result.code, result.err) == (0, "")
        assert "postgresql://me@host/db#other" in result.out
        assert "secret" not in result.out
