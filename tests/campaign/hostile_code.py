"""Databases of somebody else that name code or a command other than any spec of the user's.

The user has searched with a command, a function and a task. Then a stranger changes the stored spec
or a stored trial, with checksums and hashes of code that fit. Once `armed` is there, every piece of
code in the user's folder leaves a mark when it runs, the user's own included.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tests.campaign.forging import called, opened, store_event, store_study
from tests.campaign.forked import hpo, trouble
from tests.campaign.samples import copy_finished

# New values of a spec, by their paths.
Change = dict[tuple[str, ...], Any]

_MARKS = """
from pathlib import Path
if Path({armed!r}).exists():
    Path({mark!r}).touch()
"""
_FUNCTION = "def objective(rate=0.1, path='a', mode='a'):\n    return rate\n"
_TASK = """
class Task:
    steps = 2
    metrics = {"loss": "minimize"}
    knobs = {"rate": 0.1}
    def __init__(self, path: str = "a", mode: str = "a"):
        pass
    def init(self, knobs, key):
        return knobs["rate"] * 1.0
    def step(self, state, knobs, key, batch):
        return state * 0.9
    def evaluate(self, state, knobs, key):
        return {"loss": state}
"""
# Code that no spec of the user's has named.
_EVIL = (
    _TASK
    + _FUNCTION
    + """
from flax import nnx
class Net(nnx.Module):
    def __init__(self, inputs, outputs, *, rngs):
        self.layer = nnx.Linear(inputs, outputs, rngs=rngs)
    def __call__(self, x):
        return self.layer(x)
def loss(outputs, batch):
    return outputs.sum(-1)
def score(outputs, batch):
    return outputs.sum(-1)
def augment(x, key):
    return x
def load(path="a"):
    import numpy as np
    return {"x": np.zeros((90, 4), "float32"), "y": np.arange(90) % 3}
"""
)
_SEARCH = {
    "search": {
        "objective": {"minimize": "loss"},
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
        "trials": 4,
    },
    "train": {"epochs": 1},
}
_MODES = {"choice": ["a", "b"]}
_RATES = {"float": [0.1, 1.0]}
SPECS: dict[str, dict[str, Any]] = {
    "command": {
        "name": "command",
        "command": {"run": "sh train.sh {rate} {mode}"},
        "space": {"rate": _RATES, "mode": _MODES},
    },
    "function": {
        "name": "function",
        "objective": {"python": "train.py:objective", "values": {"path": "mine"}},
        "space": {"rate": _RATES, "mode": _MODES},
    },
    "task": {
        "name": "task",
        "task": {"python": "task.py:Task", "path": "mine"},
        "space": {"task.rate": _RATES, "task.mode": _MODES},
    },
}
_REFERENCES = ("evil.py:{}", "evil:{}", "os:system", "subprocess:call", "../evil.py:{}")


def forged(place: Path, rng: random.Random, number: int) -> str:
    """Forge a study that names code, use it, and say what ran or what else was wrong."""
    kind = ("plain", *SPECS)[number % 4]
    folder = _plain(place) if kind == "plain" else _users(place.parent, kind)
    mark, armed = folder / "mark", folder / "armed"
    database = folder / "hpo.db"
    calm = database.read_bytes()
    armed.touch()
    what = _forge(database, kind, rng)
    found = ""
    name = "flowers" if kind == "plain" else kind
    for command in rng.sample(_uses(folder, name), 4):
        wrong = command()
        if mark.exists():
            wrong = f"ran code; {wrong}"
        if wrong:
            found = f"{kind}: {what}: {wrong}"
            break
    mark.unlink(missing_ok=True)
    armed.unlink()
    database.write_bytes(calm)
    for file in folder.glob("hpo.db-*"):
        file.unlink()
    return found


def _uses(folder: Path, name: str) -> list[Callable[[], str]]:
    commands = (
        *(("list",), ("show", name), ("show", name, "--json"), ("check-study", name)),
        *(("export", name), ("export", name, "-o", "best.yaml", "--force")),
        *(("resume", name, "--quiet"), ("resume", name, "--trials", "9"), ("logs", name, "0")),
    )
    found: list[Callable[[], str]] = [partial(_run, folder, *words) for words in commands]
    # What runs is asked for more often than what only reads.
    return [
        *found,
        found[6],
        found[7],
        partial(_report, folder, name),
        partial(_train, folder, name),
    ]


def _run(folder: Path, *words: str) -> str:
    wrong = trouble(hpo(folder, *words))
    return wrong and f"hpo {' '.join(words)}: {wrong}"


def _report(folder: Path, name: str) -> str:
    return _called(folder, "Study.report()", lambda: _study(folder, name).report())


def _train(folder: Path, name: str) -> str:
    model = folder / "model-of-study"
    shutil.rmtree(model, ignore_errors=True)
    return _called(folder, "Study.train()", lambda: _study(folder, name).train(model, quiet=True))


def _study(folder: Path, name: str) -> Any:
    from hpo.api.study import Study

    return Study(name, f"sqlite:///{folder}/hpo.db")


def _called(folder: Path, what: str, call: Callable[[], object]) -> str:
    wrong = trouble(called(folder, call))
    return wrong and f"{what}: {wrong}"


def _plain(place: Path) -> Path:
    copy_finished(place)
    _write_code(place)
    return place


@cache
def _users(root: Path, kind: str) -> Path:
    """The folder of a user who has searched two of a study's trials, with specs of their own."""
    folder = root / f"users-{kind}"
    folder.mkdir()
    _write_code(folder)
    (folder / "spec.yaml").write_text(yaml.safe_dump({**SPECS[kind], **_SEARCH}, sort_keys=False))
    ended = hpo(folder, "search", "spec.yaml", "--quiet", "--trials", "2")
    if wrong := trouble(ended, codes=(0,)):
        raise SystemExit(f"hpo search fails for the user's own {kind}: {wrong}")
    calm = (folder / "hpo.db").read_bytes()
    (folder / "armed").touch()
    wrong = _run(folder, "resume", kind, "--quiet", "--trials", "3")
    if wrong or not (folder / "mark").exists():
        raise SystemExit(f"the user's own {kind} does not run on hpo resume: {wrong}")
    (folder / "mark").unlink()
    (folder / "armed").unlink()
    (folder / "hpo.db").write_bytes(calm)
    for file in folder.glob("hpo.db-*"):
        file.unlink()
    return folder


def _write_code(folder: Path) -> None:
    marks = _MARKS.format(armed=str(folder / "armed"), mark=str(folder / "mark"))
    for name, text in (("train.py", _FUNCTION), ("task.py", _TASK), ("evil.py", _EVIL)):
        (folder / name).write_text(marks + text)
    shell = f'[ -e "{folder}/armed" ] && touch "{folder}/mark"\necho loss=$1\n'
    (folder / "train.sh").write_text(shell)
    other = folder / "other"
    other.mkdir(exist_ok=True)
    for name in ("train.sh", "train.py", "task.py"):
        shutil.copy(folder / name, other)


def _forge(database: Path, kind: str, rng: random.Random) -> str:
    with opened(database) as connection:
        folder = database.parent
        if kind != "plain" and rng.random() < 0.25:
            return _forge_trial(connection, folder, kind, rng)
        (row,) = connection.execute("select * from hpo_studies").fetchall()
        document, provenance = json.loads(row["document"]), json.loads(row["provenance"])
        provenance["folder"] = str(folder)
        if kind != "plain" and rng.random() < 0.1:
            provenance["folder"] = str(folder / "other")
            what = "another folder"
        else:
            what = _forge_document(document, folder, kind, rng)
        document["search"]["trials"] = 8
        _store(connection, row, document, provenance, folder)
        return what


def _forge_document(document: dict[str, Any], folder: Path, kind: str, rng: random.Random) -> str:
    """Name other code, or give the same code other arguments."""
    touch = f"touch {folder}/mark"
    changes = _own_changes(kind, touch, folder)
    reference = rng.choice(_REFERENCES)
    if kind == "plain":
        changes += _named_in_training(reference)
    else:
        document.pop("data", None)
    changes += [
        {("command",): {"run": f"{touch} {{rate}}"}},
        {("command",): {"run": ["sh", "-c", touch, "{rate}"]}},
        {("command",): {"python": reference.format("objective")}},
        {("task",): {"python": reference.format("Task")}},
    ]
    change = rng.choice(changes)
    if {"command", "objective", "task"} & {path[0] for path in change if len(path) == 1}:
        for section in ("command", "objective", "task", "data", "model", "optimizer"):
            document.pop(section, None)
        document["space"] = {("task.rate" if ("task",) in change else "rate"): _RATES}
        document["train"] = {"epochs": 1}
        document["search"]["objective"] = {"minimize": "loss"}
    for (*path, last), value in change.items():
        holder = document
        for key in path:
            holder = holder.setdefault(key, {})
        holder[last] = value
    return ", ".join(f"{'.'.join(path)} = {value!r:.80}" for path, value in change.items())


def _own_changes(kind: str, touch: str, folder: Path) -> list[Change]:
    """Other arguments of the user's own code, and other words of their command."""
    evil = {"choice": ["a", "b", f"$({touch})"]}
    if kind == "command":
        runs = (touch, f"sh -c '{touch}'", "sh train.sh {mode} {rate}", "python evil.py")
        return [
            *({("command", "run"): run} for run in runs),
            {("command", "env"): {"BASH_ENV": f"{folder}/train.sh"}},
            {("command", "env"): {"PATH": str(folder)}},
            {("command", "folder"): "other"},
            {
                ("command", "run"): "sh {more} {rate} {mode}",
                ("command", "values"): {"more": "evil"},
            },
            {("command", "results"): {"file": "/etc/passwd"}},
            {("space", "mode"): evil},
            {("space", "rate"): {"choice": [f"; {touch}"]}},
        ]
    if kind == "function":
        return [
            {("command", "values"): {"path": "/etc/passwd"}},
            {("command", "values"): {"path": "mine", "mode": "x"}},
            {("command", "slots"): 3, ("command", "values"): {"path": "../mine"}},
            {("command", "python"): "evil.py:objective"},
            {("command", "python"): "other/train.py:objective"},
            {("space", "mode"): evil},
            {("space", "path"): {"choice": ["/etc/passwd"]}},
        ]
    if kind == "task":
        return [
            {("task", "path"): "/etc/passwd"},
            {("space", "task.mode"): evil},
            {("space", "task.path"): {"choice": ["/etc/passwd"]}},
        ]
    return []


def _named_in_training(reference: str) -> list[Change]:
    space = {"optimizer.learning_rate": _RATES}
    return [
        {("model",): {"python": reference.format("Net")}, ("space",): space},
        {("loss",): {"python": reference.format("loss")}},
        {("data",): {"dataset": {"python": reference.format("load")}, "batch_size": 16}},
        {("search", "objective"): {"maximize": {"python": reference.format("score")}}},
        {("augment",): {"python": reference.format("augment")}},
    ]


def _forge_trial(
    connection: sqlite3.Connection, folder: Path, kind: str, rng: random.Random
) -> str:
    """Give the last trial, which has not ended, a value that the space does not give."""
    rows = connection.execute("select * from hpo_events order by seq").fetchall()
    row = [row for row in rows if row["kind"] == "propose"][-1]
    connection.execute("delete from hpo_events where seq > ?", (row["seq"],))
    connection.execute("update hpo_studies set last_seq = ?, mirrored_seq = 0", (row["seq"],))
    tables = connection.execute(
        "select name from sqlite_master where name glob 'trial*'"
    ).fetchall()
    for table in tables:
        connection.execute(f"delete from {table['name']}")
    for results in folder.glob("hpo.db.trials/**/results.jsonl"):
        results.unlink()
    value = json.loads(row["value"])
    hparams = value.get("hparams", value)
    name = rng.choice([name for name in hparams if name.endswith("mode")])
    hparams[name] = rng.choice([f"$(touch {folder}/mark)", "/etc/passwd", "--evil"])
    store_event(connection, row, value=json.dumps(value))
    return f"trial {row['trial']}: {name} = {hparams[name]!r:.60}"


def _store(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    document: dict[str, Any],
    provenance: dict[str, Any],
    folder: Path,
) -> None:
    """Write the study with hashes of code and a checksum that fit."""
    code = {}
    for reference in _references(document):
        file = folder / reference.split(":")[0].removesuffix(".py")
        source = file.with_suffix(".py")
        code[reference] = sha256(source.read_bytes()).hexdigest() if source.is_file() else ""
    provenance["code"] = {**provenance.get("code", {}), **code}
    values = {**dict(row), "document": json.dumps(document), "provenance": json.dumps(provenance)}
    store_study(connection, values)
    for start in connection.execute("select * from hpo_events where kind = 'start'").fetchall():
        value = json.loads(start["value"])
        if "code" in value.get("driver", {}):
            value["driver"]["code"] = provenance["code"]
            store_event(connection, start, value=json.dumps(value))


def _references(holder: Any) -> list[str]:
    if isinstance(holder, dict):
        own = [holder["python"]] if isinstance(holder.get("python"), str) else []
        return own + [one for value in holder.values() for one in _references(value)]
    if isinstance(holder, list):
        return [one for value in holder for one in _references(value)]
    return []
