"""Files that somebody else may have planted: caches, databases, models and studies that name code.

None of them runs a command, reaches a file that is not the study's, or steers a terminal. A person
who changes a database can also change its checksums, so these fit.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import sqlite3
from collections.abc import Iterator
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.campaign.attempts import Try
from tests.campaign.databases import DAMAGES, mutants
from tests.campaign.faults import PRECIOUS, copy_cache, use_cache
from tests.campaign.forging import called, opened, store_event, store_study
from tests.campaign.forked import effort_trouble, hpo, trouble
from tests.campaign.hostile_code import forged
from tests.campaign.samples import copy_finished, finished, model_results, results, write_inputs

READING = (
    *(("list",), ("show", "flowers"), ("show", "flowers", "--json"), ("export", "flowers")),
    *(("check-study", "flowers"), ("resume", "flowers", "--quiet"), ("search", "spec.yaml")),
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**12, 1e308, "", [], {}, [[]], {"a": []}, "x" * 100_000),
    *("\x1b[2J\x1b]0;owned\x07", "../../precious/mine.txt", "/etc/passwd", "a/../../precious"),
    *(
        "\u202eevil",
        "line\nbreak",
        "<img src=x onerror=alert(1)>",
        "[bold red]x[/]",
        "{0.__class__}",
    ),
    *(
        "sqlite:////etc/passwd",
        "postgresql://evil.example/x",
        "$(touch hacked)",
        "NaN",
        "9" * 5_000,
    ),
)


_COMMAND = "touch hacked; touch ../hacked"
# The names of compiled programs in a cache, and of what it keeps about a program.
_PROGRAM = re.compile("[0-9a-f]{64}")
_KEPT = re.compile(r"([0-9a-f]{64}\.plan|[0-9a-f]+\.lanes)")


class Call:
    """A pickle of it calls a function, which another call may give."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._called = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self._called

    def __call__(self) -> None:
        """What pickle demands of a function."""


@cache
def payloads() -> dict[str, bytes]:
    """Pickles that run a command: through names that JAX's format has not, and through those alone.

    The format has `getattr`, which reaches any function from any class.
    """
    from jax._src.core import ShapedArray

    names = Call(getattr, Call(getattr, ShapedArray, "update"), "__globals__")
    python = Call(Call(getattr, names, "get"), "__builtins__")
    system = Call(getattr, Call(Call(getattr, python, "get"), "__import__"), "__call__")
    called = {
        "os.system": Call(os.system, _COMMAND),
        "eval": Call(eval, f"__import__('os').system({_COMMAND!r})"),
        "a partial function": Call(Call(partial, os.system, _COMMAND)),
        "getattr and a class of JAX": Call(Call(getattr, Call(system, "os"), "system"), _COMMAND),
    }
    found = {
        f"{name} ({protocol})": pickle.dumps(call, protocol)
        for name, call in called.items()
        for protocol in (2, 4)
    }
    command = _COMMAND.encode()
    found["the oldest format"] = b"(S'" + command + b"'\nios\nsystem\n."
    found["a name with dots in a module of JAX"] = b"".join(
        [
            b"\x80\x04\x8c\x13jax._src.xla_bridge\x8c\x09os.system\x93",
            b"\x8c" + bytes([len(command)]) + command + b"\x85R.",
        ]
    )
    return found


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Plant something, use it, and look at what came of it."""
    precious = place.parent / f"precious-{place.name}"
    kept = place / "precious"
    for folder in (precious, kept):
        folder.mkdir(exist_ok=True)
        (folder / "mine.txt").write_text(PRECIOUS)
    kind = number % 5
    if kind == 0:
        promise, wrong = "hostile cache", _cache(place, rng)
    elif kind == 1:
        promise, wrong = "hostile model folder", _model(place, rng)
    elif kind == 2:
        promise, wrong = "hostile database", _database(place, rng)
    elif kind == 3:
        promise, wrong = "damaged database", _damaged(place, rng)
    else:
        promise, wrong = "hostile study with own code", forged(place, rng, number // 5)
    for file in (precious / "mine.txt", kept / "mine.txt"):
        if not file.is_file() or file.read_text() != PRECIOUS:
            wrong = f"a file of the user's was changed or deleted; {wrong}"
    if [*place.glob("**/hacked"), *place.parent.glob("hacked")]:
        wrong = f"ran a command; {wrong}"
    yield Try(promise, wrong)


def _cache(place: Path, rng: random.Random) -> str:
    """Change files of the cache; then search and train with it."""
    write_inputs(place)
    copy_cache(place)
    files = [path for path in sorted((place / "cache").rglob("*")) if path.is_file()]
    names = []
    for path in rng.sample(files, rng.randint(1, len(files))):
        what, new = _planted(path, files, rng)
        path.write_bytes(new)
        names.append(f"{path.name[:12]}{path.suffix}: {what}")
    setting = partial(use_cache, place)
    wrong = trouble(hpo(place, "search", "spec.yaml", "--quiet", setting=setting), codes=(0,))
    if not wrong and results(place) != results(finished(place.parent)):
        wrong = "other results"
    if not wrong:
        wrong = trouble(
            hpo(place, "train", "single.yaml", "-o", "new", setting=setting), codes=(0,)
        )
    if not wrong and model_results(place / "new") != model_results(
        finished(place.parent) / "model"
    ):
        wrong = "another model"
    return wrong and f"{', '.join(names)}: {wrong}"


def _planted(path: Path, files: list[Path], rng: random.Random) -> tuple[str, bytes]:
    """What is planted in the place of a file of a cache, and its name.

    Half of it has the digest that the cache demands of a file with this name.
    """
    content, other = path.read_bytes(), rng.choice(files).read_bytes()
    name, payload = rng.choice(sorted(payloads().items()))
    at = rng.randrange(len(content) + 1)
    values = json.dumps({str(i): rng.choice(VALUES) for i in range(9)}).encode()
    if rng.random() < 0.5 and (_PROGRAM.fullmatch(path.name) or _KEPT.fullmatch(path.name)):
        plan = {"form": rng.choice(["map", "vmap", ""]), "lanes": rng.choice(VALUES)}
        kept = [values, json.dumps(plan).encode(), str(rng.choice(VALUES)).encode(), b"\xff" * 9]
        if _PROGRAM.fullmatch(path.name):
            planted = [(name, payload), ("nested", b"\x80\x04" + b"(" * 100_000 + b".")]
        else:
            planted = [(f"{new!r:.60}", new) for new in (*kept, b"[" * 100_000)]
        what, new = rng.choice(planted)
        return f"{what}, with its digest", digest(path.name, new) + new
    planted = [
        (name, payload),
        (f"{name} behind a digest", content[:32] + payload),
        (f"{name} within", content[:at] + payload + content[at:]),
        ("another byte", content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]),
        ("cut short", content[:at]),
        ("another file", other),
        ("empty", b""),
        ("a document", b"{}"),
        ("values", values),
        ("nested", b"\x80\x04" + b"(" * 100_000),
        ("zeros behind it", content + bytes(10**6)),
    ]
    return rng.choice(planted)


def digest(name: str, content: bytes) -> bytes:
    """What a cache demands before the content of a file with this name."""
    return sha256(name.encode() + b"\0" + content).digest()


def _model(place: Path, rng: random.Random) -> str:
    """Change a model's `metrics.json` and files, read it, and train in its place."""
    copy_finished(place)
    file = place / "model" / "metrics.json"
    document = json.loads(file.read_text())
    for _ in range(rng.randint(1, 3)):
        holder: Any = document
        while isinstance(holder, dict | list) and holder:
            key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            if not isinstance(holder[key], dict | list) or rng.random() < 0.4:
                holder[key] = rng.choice(VALUES)
                break
            holder = holder[key]
    if rng.random() < 0.3:
        document["files"] = ["../precious/mine.txt", "spec.yaml", "/etc/passwd", "\x1b[2J"]
    file.write_text(json.dumps(document))
    extra = place / "model" / rng.choice(["mine.txt", "weights/mine.txt", "\x1b[2J.txt"])
    extra.write_text(PRECIOUS)
    ended = called(place, partial(_read_model, place))
    if wrong := effort_trouble(ended) or trouble(ended):
        return f"TrainedModel.read of {document!r:.300}: {wrong}"
    ended = hpo(place, "train", "single.yaml", "-o", "model", "--force")
    if not extra.exists() or extra.read_text() != PRECIOUS:
        return f"hpo train --force deletes {extra.name!r}"
    return trouble(ended)


def _read_model(place: Path) -> None:
    from hpo.trained.load import TrainedModel

    TrainedModel.read(place / "model").curve()


def _database(place: Path, rng: random.Random) -> str:
    """Change values of the log or the study, with checksums that fit."""
    copy_finished(place)
    what = _forge(place / "hpo.db", rng)
    return _used(place, rng, what)


def _damaged(place: Path, rng: random.Random) -> str:
    """Damage the database at any place."""
    copy_finished(place)
    database = place / "hpo.db"
    content, seed = database.read_bytes(), rng.randrange(10**9)
    mutant = rng.choice(list(mutants(content, seed, len(DAMAGES))))
    database.write_bytes(mutant.content)
    return _used(place, rng, mutant.name)


def _used(place: Path, rng: random.Random, what: str) -> str:
    for command in rng.sample(READING, 3):
        if wrong := trouble(hpo(place, *command)):
            return f"{' '.join(command)}: {what}: {wrong}"
    return ""


def _forge(database: Path, rng: random.Random) -> str:
    with opened(database) as connection:
        if rng.random() < 0.4:
            return _forge_study(connection, rng)
        return _forge_event(connection, rng)


def _forge_study(connection: sqlite3.Connection, rng: random.Random) -> str:
    (row,) = connection.execute("select * from hpo_studies").fetchall()
    values = dict(row)
    name = rng.choice(["name", "document", "document", "provenance", "hpo_version"])
    if name in ("document", "provenance"):
        document = json.loads(values[name])
        what = _change(document, rng)
        values[name] = json.dumps(document)
    else:
        values[name] = what = str(rng.choice(VALUES))[:250]
    store_study(connection, values)
    return f"hpo_studies.{name}: {what}"


def _forge_event(connection: sqlite3.Connection, rng: random.Random) -> str:
    rows = connection.execute("select * from hpo_events order by seq").fetchall()
    kinds = sorted({row["kind"] for row in rows})
    kind = rng.choice(kinds)
    row = rng.choice([row for row in rows if row["kind"] == kind])
    name = rng.choice(["value", "value", "value", "epoch", "trial", "kind"])
    if name == "value":
        document = json.loads(row["value"])
        what = _change(document, rng)
        store_event(connection, row, value=json.dumps(document))
    elif name == "kind":
        what = rng.choice([*kinds, "\x1b[2J", "unknown"])
        store_event(connection, row, kind=what)
    else:
        what = rng.choice([-1, 0, 1, 5, 10**9, None])
        store_event(connection, row, **{name: what})
    return f"event {row['seq']} ({kind}), {name}: {what!s:.80}"


def _change(document: dict[str, Any], rng: random.Random) -> str:
    """Change one value in a document, or add one."""
    value = rng.choice(VALUES)
    holder: Any = document
    path: list[str] = []
    while True:
        if not isinstance(holder, dict | list) or not holder:
            document["more"] = value
            return "more"
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        path.append(str(key))
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.2:
            holder[key] = value
            return f"{'.'.join(path)} = {value!r:.60}"
        holder = holder[key]
