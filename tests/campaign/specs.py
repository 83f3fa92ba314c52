"""Broken specs: each is valid, or is refused in one line for each mistake, in time and in memory.

A valid one is also drawn from: its trials must be specs again.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.campaign.attempts import Try
from tests.campaign.forked import batch, effort_trouble, run_here, trouble
from tests.checkout import ROOT

PROMISE = "broken spec: valid, or one line a mistake"
BATCH = 50

NUMBERS = (
    *(0, -1, 1, 2, 3, 0.0, -0.0, 0.5, 1.0, 1e-3, 1e-310, 5e-324, -1e-9, 1e308, -1e308),
    *(1.0000000000000002, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**40, 10**400),
    *(float("inf"), float("-inf"), float("nan")),
)
TEXTS = (
    *("", " ", "~", "null", "none", "auto", "all", "true", "yes", "0", "1e3", "-", ".", "..", "/"),
    *("../../etc/passwd", "~nosuchuser/x", "${HOME}", "%s%n", "{}", "{0.__class__}", "a" * 6_000),
    *("\x1b[2J\x1b]0;x\x07", "\u202eevil", "line\nbreak", "\r", "\u2028", "naïve", "名前", "🙂"),
    *("\ufeff", "\u0000x", "e\u0301", "a.b", "a..b", ".a", "a.", "__import__('os')", "1" * 5_000),
    *(
        "10m",
        "1h30m",
        "-5s",
        "99999999999d",
        "2GiB",
        "-1MB",
        "1e400",
        "sqlite:///x.db",
        "0x1p-1074",
    ),
)
ENTRIES = (
    {"float": [0.0, 0.5]},
    {"float": [1e-4, 1e-1], "log": True},
    {"float": [0.5, 0.1]},
    {"float": [0, 1], "step": 0.3},
    {"float": [0.0, 1e-310], "log": True},
    {"float": [-1e308, 1e308]},
    {"int": [1, 10**30]},
    {"int": [1, 9], "log": True, "step": 2},
    {"int": [5, 1]},
    {"choice": []},
    {"choice": [[8], [8, 8]]},
    {"choice": [None, True, 1, 1.0, "1"]},
    {"choice": [{"name": "sgd"}, {"name": "adam"}]},
    {"value": "model.width * 2"},
    {"value": "9 ** 9 ** 9"},
    {"value": "(" * 500 + "1" + ")" * 500},
    {"value": "train.epochs // 0"},
    {"float": [0, 1], "when": {"model.name": "cnn"}},
    {"float": [0, 1], "when": {"model.name": ["mlp", "cnn"], "optimizer.name": "sgd"}},
    {"float": [0, 1], "when": {"nothing.here": 1}},
    {"float": [0, 1], "prior": {"at": 0.3, "spread": 0}},
    {"float": [0.1, 1.0], "adapt": True},
)
# Text that no dump of plain values gives.
LINES = (
    "a: &a [*a]\n",
    "a: &a {b: *a}\n",
    "<<: {train: {epochs: 2}}\n",
    "x: !!python/object/apply:os.system ['touch hacked']\n",
    "x: !!python/name:os.system\n",
    "x: !!binary aGVsbG8=\n",
    "x: !!set {a, b}\n",
    "? [a, b]\n: c\n",
    "--- \nname: second\n",
    "\t- tab\n",
    "%YAML 9.9\n",
    "x: *nowhere\n",
    "include: [spec.yaml]\n",
    "include: /dev/zero\n",
    "name: twice\nname: twice\n",
    "}\n",
    "x: 'open\n",
    "x: |\n  block\n bad\n",
    "12:30: 2026-02-30\n",
    "x: " + "[" * 3_000 + "\n",
    "x: " + "[" * 500 + "]" * 500 + "\n",
    "x: " + "{a: " * 300 + "1" + "}" * 300 + "\n",
)

Change = Callable[[Any, random.Random], None]


def attempt(place: Path, rng: random.Random, number: int) -> Iterator[Try]:
    """Try a batch of broken specs in one forked copy of this process."""
    mutants = [mutant(rng) for _ in range(BATCH)]
    commands = [_command(rng) for _ in mutants]
    cases = [partial(_checked, place, *pair) for pair in zip(mutants, commands, strict=True)]
    for index, ended in enumerate(batch(place, cases)):
        found = effort_trouble(ended) or trouble(ended)
        if (place / "hacked").exists():
            found = "a tag in the spec ran a command"
        if found:
            kept = place.parent / f"spec-{number}-{index}.yaml"
            kept.write_bytes(mutants[index])
            found += f" [{' '.join(commands[index])} {kept.name}]"
        yield Try(PROMISE, found)


def mutant(rng: random.Random) -> bytes:
    """A spec of this project with a few things broken, as bytes of a file."""
    document = copy.deepcopy(rng.choice(_sources()))
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        rng.choice(CHANGES)(document, rng)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=rng.random() < 0.8)
    if rng.random() < 0.25:
        text = _broken_text(text, rng)
    content = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.05:
        content = rng.choice(
            [
                text.encode("utf-16", "surrogatepass"),
                b"\xef\xbb\xbf" + content,
                content.replace(b"\n", b"\r\n"),
                content[: rng.randrange(len(content) + 1)],
                content + b"\xff\xfe\x00",
                b"",
                bytes(rng.randrange(256) for _ in range(200)),
                content + b"#" * 1_100_000,
            ]
        )
    return content


def _sources() -> list[Any]:
    if not _documents:
        for path in sorted((ROOT / "configs").glob("*.yaml")):
            _documents.append(yaml.safe_load(path.read_text()))
        for path in sorted((ROOT / "tests" / "stored").glob("*/*.yaml")):
            _documents.append(yaml.safe_load(path.read_text()))
    return _documents


_documents: list[Any] = []


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) in a document."""
    items = enumerate(document) if isinstance(document, list) else document.items()
    for key, value in list(items):
        yield document, key
        if isinstance(value, dict | list) and len(path) < 20:
            yield from _places(value, (*path, key))


def _any_place(document: Any, rng: random.Random) -> tuple[Any, Any]:
    return rng.choice(list(_places(document)) or [({"": 0}, "")])


def _any_value(document: Any, rng: random.Random) -> Any:
    """A value of any kind, now and then a large or deep one."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(NUMBERS)
    if kind < 0.65:
        return rng.choice(TEXTS)
    if kind < 0.75:
        holder, key = _any_place(document, rng)
        return copy.deepcopy(holder[key])
    if kind < 0.95:
        return copy.deepcopy(
            rng.choice([None, True, False, [], {}, [None], [[]], {"a": {}}, {"": 0}, *ENTRIES])
        )
    return rng.choice(
        [
            list(range(20_000)),
            [[i] for i in range(3_000)],
            {f"key{i}": i for i in range(5_000)},
            "x" * 200_000,
            {"choice": list(range(20_000))},
            {"choice": [f"v{i}" for i in range(2_000)]},
            {"k" * 117_000: 1},
            _nested(rng.choice([30, 90, 150])),
        ]
    )


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _drop(document: Any, rng: random.Random) -> None:
    holder, key = _any_place(document, rng)
    del holder[key]


def _set(document: Any, rng: random.Random) -> None:
    holder, key = _any_place(document, rng)
    holder[key] = _any_value(document, rng)


def _rename(document: Any, rng: random.Random) -> None:
    holder, key = _any_place(document, rng)
    if isinstance(holder, dict):
        value = holder.pop(key)
        new = rng.choice([f"{key}s", str(key)[1:], str(key).upper(), *TEXTS, 7, None, True, 1.5])
        holder[new] = value


def _number(document: Any, rng: random.Random) -> None:
    found = [(h, k) for h, k in _places(document) if isinstance(h[k], int | float)]
    if found:
        holder, key = rng.choice(found)
        holder[key] = rng.choice([*NUMBERS, -holder[key], holder[key] * 10**6, str(holder[key])])


def _nudge(document: Any, rng: random.Random) -> None:
    """Another number of the same kind, which is often as good."""
    found = [(h, k) for h, k in _places(document) if type(h[k]) in (int, float)]
    if found:
        holder, key = rng.choice(found)
        factor = rng.choice([0, 0.5, 0.9, 1.1, 2, 3, 100])
        # An earlier change may have made it too large for a float, or infinite.
        with suppress(OverflowError, ValueError):
            holder[key] = type(holder[key])(holder[key] * factor)


def _swap(document: Any, rng: random.Random) -> None:
    (one, a), (other, b) = _any_place(document, rng), _any_place(document, rng)
    try:
        one[a], other[b] = copy.deepcopy(other[b]), copy.deepcopy(one[a])
    except (KeyError, IndexError):
        return


def _wrap(document: Any, rng: random.Random) -> None:
    holder, key = _any_place(document, rng)
    holder[key] = rng.choice([[holder[key]], {"name": holder[key]}, [holder[key]] * 3])


def _add_entry(document: Any, rng: random.Random) -> None:
    if isinstance(document.get("space"), dict):
        paths = [p for p in _leaves() if rng.random() < 0.2] or _leaves()
        document["space"][rng.choice(paths)] = copy.deepcopy(rng.choice(ENTRIES))


def _add_leaf(document: Any, rng: random.Random) -> None:
    *parts, last = rng.choice(_leaves()).split(".")
    here = document
    for part in parts:
        here = here.setdefault(part, {}) if isinstance(here, dict) else {}
    if isinstance(here, dict):
        here[last] = _any_value(document, rng)


def _leaves() -> list[str]:
    from hpo.spec.experiment import Training
    from hpo.spec.schema import all_leaves

    return [path for path, _ in all_leaves(Training)]


CHANGES: tuple[Change, ...] = (
    *(_drop, _set, _set, _rename, _number, _number, _swap, _wrap, _add_leaf),
    *(_nudge, _nudge, _nudge, _add_entry, _add_entry),
)


def _broken_text(text: str, rng: random.Random) -> str:
    """YAML that is not what a dump gives: cut, with odd lines, characters and aliases."""
    lines = text.splitlines(keepends=True)
    kind = rng.randrange(5)
    if kind == 0:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(LINES))
        return "".join(lines)
    if kind == 1:
        return text + rng.choice(LINES)
    if kind == 2:
        at = rng.randrange(len(text) + 1)
        return text[:at] + rng.choice("{}[]:,&*!|>'\"%@`#-?\t\x00\x1b\u2028é") + text[at:]
    if kind == 3:
        rng.shuffle(lines)
        return "".join(lines)
    names = "abcdefghi"
    bomb = [f"a: &a [{'x, ' * 9}]"]
    bomb += [f"{b}: &{b} [{f'*{a}, ' * 9}]" for a, b in itertools.pairwise(names)]
    return text + "\n".join(bomb[: rng.randint(2, 9)]) + "\n"


def _command(rng: random.Random) -> list[str]:
    extra = [(), (), (), ("--full",), ("--json",), ("--trial", str(rng.randrange(12)))]
    sets = [("--set", f"{rng.choice(_leaves())}={rng.choice([*TEXTS[:20], '[1', '1e-3'])}"), ()]
    return ["check", "spec.yaml", *rng.choice(extra), *rng.choice(sets)]


def _checked(place: Path, content: bytes, command: list[str]) -> None:
    (place / "spec.yaml").write_bytes(content)
    run_here(command)
    _draw(place, command)


def _draw(place: Path, command: list[str]) -> None:
    """Draw a few trials of a valid spec, and fill them in."""
    from numpy.random import default_rng

    from hpo.spec.fill import fill
    from hpo.spec.load import load_experiment

    overrides = [command[i + 1] for i, word in enumerate(command) if word == "--set"]
    experiment = load_experiment(place / "spec.yaml", overrides)
    for number in range(3):
        draw = experiment.space.draw(default_rng(number))
        fill(experiment.training, draw, number)
