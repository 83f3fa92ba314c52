"""A spec of any length is answered soon, and in short lines."""

import copy
import time
from pathlib import Path

import pytest
import yaml

from hpo.errors import SpecError
from hpo.spec.load import load_document, load_experiment

SHORT = """\
name: x
data: {dataset: digits}
model: {name: mlp}
optimizer: {name: adamw}
train: {epochs: 9}
search: {objective: {minimize: loss}, trials: 10}
"""


def numbers(count, text="0.{:06d}"):
    return ", ".join(text.format(number + 1) for number in range(count))


@pytest.mark.parametrize(
    ("more", "mistake"),
    [
        (f"space: {{optimizer.learning_rate: {{choice: [{numbers(20_000)}]}}}}", None),
        (f"space: {{model.widths: {{choice: [{numbers(20_000, '[{}]')}]}}}}", None),
        ("".join(f"key{number:06d}: 1\n" for number in range(9000)), "unknown key 'key000000'"),
        (
            "space:\n" + "".join(f"  model.key{number:05d}: 1\n" for number in range(6000)),
            "space: has 6,000 entries: write at most 1,000",
        ),
        (
            f"space: {{model.dropout: {{float: [0, 0.5]}}, forbid: [{numbers(4000, 'a > {}')}]}}",
            "space: has 4,000 rules under forbid: write at most 1,000",
        ),
        (
            f"space: {{model.widths: {{choice: [{numbers(5000, '[{}]')}]}}, model.dropout: "
            f"{{float: [0, 0.5], when: {{model.widths: [{numbers(5000, '[{}]')}]}}}}}}",
            None,
        ),
        (f"zzz: [{numbers(60_000, '1')}]", "has more than 50,000 values up to here: write fewer"),
        (f"zzz: {'[' * 50_000}", "nested too deeply"),
        (f"? [{'z' * 100_000}]\n: 1", "cannot be a key"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_long_spec_is_answered_within_5_seconds(tmp_path, more, mistake):
    (tmp_path / "long.yaml").write_text(SHORT + more + "\n")
    began = time.process_time()
    if mistake is None:
        load_experiment(tmp_path / "long.yaml")
    else:
        with pytest.raises(SpecError) as error:
            load_experiment(tmp_path / "long.yaml")
        assert mistake in str(error.value)
        assert len(str(error.value)) < 20_000
    assert time.process_time() - began < 5


def test_many_points_to_start_from_are_compared_soon():
    document = yaml.safe_load(SHORT)
    document["space"] = {"optimizer.learning_rate": {"float": [0.1, 0.2]}}
    points = [{"optimizer.learning_rate": 0.1 + number / 1e6} for number in range(4000)]
    document["search"]["start"] = [*points, points[7]]
    began = time.process_time()
    with pytest.raises(SpecError, match=r"^search\.start\[4000\]: is listed twice: remove one$"):
        load_document(document, None)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["long.yaml", "space.yaml"])
def test_a_file_over_1_mb_is_refused_before_it_is_parsed(tmp_path, name):
    included = "space: {include: space}\n" if name == "space.yaml" else ""
    (tmp_path / "long.yaml").write_text(SHORT + included)
    with (tmp_path / name).open("a") as file:
        file.write("#" * 1_000_001)
    began = time.process_time()
    with pytest.raises(SpecError) as error:
        load_experiment(tmp_path / "long.yaml")
    assert str(error.value) == (
        f"{tmp_path / name}: is larger than 1 MB, which no spec is: check the path"
    )
    assert time.process_time() - began < 1


def test_a_path_that_no_file_can_have_is_not_repeated_whole():
    with pytest.raises(SpecError, match=r"^q+\.\.\.: cannot be read \(File name too long\)"):
        load_experiment(Path("q" * 6000))


def test_more_than_20_mistakes_are_counted():
    document = yaml.safe_load(SHORT) | {f"key{number}": 1 for number in range(1500)}
    with pytest.raises(SpecError) as error:
        load_document(document, None)
    assert len(error.value.mistakes) == 21
    assert error.value.mistakes[-1] == "and 1,480 more mistakes"
    assert SpecError(error.value.mistakes).mistakes == error.value.mistakes


FULL = yaml.safe_load("""
name: x
data: {dataset: {csv: t.csv, target: y, separator: ";", missing: ["?"], task: regression}}
model: {name: mlp, widths: [16], activation: relu}
optimizer: {name: adamw, learning_rate: 1.0e-2, schedule: {name: cosine, final: 0.1}}
train: {epochs: 3, metrics: [], changes: [{after: 1, hparams: {optimizer.learning_rate: 0.1}}]}
space:
  include: [updates]
  optimizer.learning_rate: {float: [0.1, 0.2], log: true, prior: 0.15}
  model.dropout: {float: [0.1, 0.5], when: {model.activation: relu}, adapt: [0.0, 0.6]}
  model.widths: {choice: [[1], [2]]}
  optimizer.weight_decay: {derived: optimizer.learning_rate * 0.1}
  forbid: ["optimizer.learning_rate > 0.15 and model.dropout > 0.3"]
search: {objective: {minimize: loss}, trials: 10, scheduler: {name: hyperband},
  constraints: [{metric: mae, at_most: 3}], start: [{optimizer.learning_rate: 0.15}]}
study: {storage: "sqlite:///x.db"}
""")


def places(value, path=()):
    """The path of everything in a document."""
    if path:
        yield path
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, dict | list) else ():
        yield from places(value[key], (*path, key))


@pytest.mark.parametrize(
    "text",
    ["q" * 300, "optimizer." + "z" * 300, "a\nb\x1b[31m" * 30, 10**299],
    ids=["word", "path", "lines", "number"],
)
@pytest.mark.parametrize("is_key", [False, True])
def test_no_message_repeats_more_than_80_characters_of_a_value(tmp_path, text, is_key):
    for *outer, last in places(FULL):
        document = copy.deepcopy(FULL)
        part = document
        for key in outer:
            part = part[key]
        if not is_key:
            part[last] = text
        elif isinstance(part, dict) and isinstance(text, str):
            part[text] = part.pop(last)
        try:
            load_document(document, tmp_path)
        except SpecError as error:
            for line in error.mistakes:
                assert line.isprintable()
                written = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
                runs = (written[start : start + 81] for start in range(len(written) - 81))
                assert not any(run in line for run in runs), line


@pytest.mark.parametrize(
    "override",
    ["{}=1", "model.dropout={}", "{}", "space.{0}={0}", "model.{}=[", "optimizer.name={}"],
)
def test_no_message_repeats_more_than_80_characters_of_an_override(tmp_path, override):
    with pytest.raises(SpecError) as error:
        load_document(FULL, tmp_path, [override.format("q" * 300)])
    assert "q" * 81 not in str(error.value)
