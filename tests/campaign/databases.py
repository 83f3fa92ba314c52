"""Damaged copies of a study's database, as disks, editors and other programs make them.

`mutants` gives as many as one asks for, the same ones for the same seed.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count as count_from
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hpo.spec.load import experiment_from_document
from hpo.study.log.events import End, Propose, Report, Start, Stop, StudyState, Times
from hpo.study.storage.journal import StudyJournal
from hpo.study.storage.lease import acquire
from hpo.study.storage.optuna_tables import open_mirror
from hpo.study.storage.provenance import Provenance, library_versions
from hpo.study.storage.stored import to_store
from hpo.study.storage.tables import Mirror, Storage
from hpo.trial import TrialState
from tests.cli.samples import FLOWERS

PAGE = 4096
# The cells that a study's results come from: checksums or checks of their own cover them all.
RESULTS = {
    "hpo_events": ("seq", "trial", "kind", "epoch", "value", "time_ms", "study_id", "checksum"),
    "hpo_studies": (
        "name",
        "document",
        "document_hash",
        "seed",
        "created_ms",
        "provenance",
        "data_fingerprint",
        "hpo_version",
        "checksum",
    ),
}


class Mutant(NamedTuple):
    """A damaged database, and how it was damaged."""

    name: str
    content: bytes


Damage = Callable[[bytes, random.Random], Mutant]


def mutants(content: bytes, seed: int, count: int) -> Iterator[Mutant]:
    """Damaged copies of a SQLite file at rest, each of the kinds in turn."""
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        yield next(_possible(damage, content, f"{seed} {number}"))


def _possible(damage: Damage, content: bytes, seed: str) -> Iterator[Mutant]:
    """Damages of one kind, without those that SQLite itself refuses."""
    for attempt in count_from(0):
        with suppress(sqlite3.Error):
            yield damage(content, random.Random(f"{seed} {attempt}"))


def small_study(folder: Path) -> bytes:
    """The database of a study that has ended, as a driver leaves it: three trials, two epochs."""
    experiment = experiment_from_document(yaml.safe_load(FLOWERS), folder)
    assert experiment.search is not None
    state = StudyState(experiment.search.goal)
    provenance = Provenance(library_versions(), "2 x cpu", "data-1")
    with Storage.create(f"sqlite:///{folder}/hpo.db") as storage:
        details = {**provenance.to_document(), "folder": str(folder)}
        record = storage.create_study("flowers", to_store(experiment), 0, details, "data-1")

        def mirror() -> Mirror | None:
            return open_mirror(storage, record, experiment.space, state)

        with acquire(storage, record.id) as lease:
            journal = StudyJournal(storage, record.id, state, lease, mirror)
            journal.record(Start({"pid": 1, "device": "2 x cpu"}))
            for number in range(3):
                rate = 0.001 * (number + 1)
                journal.record(Propose({"optimizer.learning_rate": rate}, state.seq), number)
                for epoch in (1, 2):
                    score = 0.5 + 0.1 * epoch + 0.01 * number
                    journal.record(Report(epoch, {"loss": 1 - score, "accuracy": score}), number)
                journal.record(End(TrialState.COMPLETE, 2), number)
                journal.flush()
            journal.record(Times({"driver": {"waiting": 0.5}}))
            journal.record(Stop("finished"))
            journal.flush()
    return (folder / "hpo.db").read_bytes()


def flip_a_bit(content: bytes, rng: random.Random) -> Mutant:
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return Mutant(f"bit {bit} of byte {place} flipped", bytes(changed))


def write_noise(content: bytes, rng: random.Random) -> Mutant:
    place, size = rng.randrange(len(content)), rng.choice([1, 16, 600])
    changed = bytearray(content)
    changed[place : place + size] = rng.randbytes(len(changed[place : place + size]))
    return Mutant(f"{size} bytes of noise at byte {place}", bytes(changed))


def zero_a_page(content: bytes, rng: random.Random) -> Mutant:
    page = rng.randrange(len(content) // PAGE)
    changed = bytearray(content)
    changed[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    return Mutant(f"page {page} zeroed", bytes(changed))


def swap_pages(content: bytes, rng: random.Random) -> Mutant:
    one, other = sorted(rng.sample(range(len(content) // PAGE), 2))
    pages = [content[i : i + PAGE] for i in range(0, len(content), PAGE)]
    pages[one], pages[other] = pages[other], pages[one]
    return Mutant(f"pages {one} and {other} swapped", b"".join(pages))


def cut_short(content: bytes, rng: random.Random) -> Mutant:
    size = rng.choice([0, 1, 100, rng.randrange(len(content)), len(content) - PAGE])
    return Mutant(f"cut after {size} bytes", content[:size])


def drop_a_table(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table = rng.choice(_tables(connection))
        connection.execute(f"drop table {table}")
        return f"table {table} dropped"

    return _changed(content, change)


def view_for_a_table(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table = rng.choice(sorted(RESULTS))
        connection.execute(f"alter table {table} rename to hidden")
        connection.execute(f"create view {table} as select * from hidden")
        return f"table {table} replaced by a view"

    return _changed(content, change)


def rename_a_column(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table = rng.choice(_tables(connection))
        column = rng.choice(_columns(connection, table))
        connection.execute(f"alter table {table} rename column {column} to other")
        return f"{table}.{column} renamed"

    return _changed(content, change)


def delete_rows(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table = rng.choice(_tables(connection, filled=True))
        ids = [row[0] for row in connection.execute(f"select rowid from {table} order by rowid")]
        gone = rng.choice([ids, ids[-2:], [rng.choice(ids)], [ids[0]]])
        connection.executemany(f"delete from {table} where rowid = ?", [(i,) for i in gone])
        return f"{len(gone)} of {len(ids)} rows of {table} deleted"

    return _changed(content, change)


def change_a_result(content: bytes, rng: random.Random) -> Mutant:
    """Another number or letter in a cell of the log or of the study."""
    return _changed(content, lambda connection: _change_a_cell(connection, rng, sorted(RESULTS)))


def change_a_cell(content: bytes, rng: random.Random) -> Mutant:
    """Another number or letter in any cell, those of Optuna's tables included."""
    return _changed(content, lambda connection: _change_a_cell(connection, rng, None))


def change_a_type(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table, column, rowid, _ = _cell(connection, rng, None)
        name, value = rng.choice(
            [
                ("null", "null"),
                ("a blob", "x'00ff'"),
                ("no UTF-8", "cast(x'61ff62' as text)"),
                ("text", "'twelve'"),
                ("a float", "1.5"),
                ("a large number", "9223372036854775807"),
                ("below zero", "-7"),
                ("a terminal's escape", "char(27) || '[2J'"),
            ]
        )
        connection.execute(f"update {table} set {column} = {value} where rowid = ?", (rowid,))
        return f"{table}.{column} of row {rowid} is {name}"

    return _changed(content, change)


def break_json(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        table, column = rng.choice(
            [("hpo_events", "value"), ("hpo_studies", "document"), ("hpo_studies", "provenance")]
        )
        _, _, rowid, text = _cell(connection, rng, [table], column)
        deep = 100_000
        broken = rng.choice(
            [
                text[: rng.randrange(len(text))],
                text + "}",
                "[]",
                "7",
                '"text"',
                "null",
                "{}",
                f"{text},{text}",
                "[" * deep + "]" * deep,
                "9" * 5_000,
                text.replace(":", ": null,", 1),
                _other_value(text, rng),
            ]
        )
        connection.execute(f"update {table} set {column} = ? where rowid = ?", (broken, rowid))
        return f"{table}.{column} of row {rowid} is {broken[:40]!r}"

    return _changed(content, change)


def swap_events(content: bytes, rng: random.Random) -> Mutant:
    def change(connection: sqlite3.Connection) -> str:
        rows = connection.execute("select rowid, value from hpo_events order by seq").fetchall()
        (one, first), (other, second) = rng.sample(rows, 2)
        order = "update hpo_events set value = ? where rowid = ?"
        connection.executemany(order, [(second, one), (first, other)])
        return f"values of rows {one} and {other} swapped"

    return _changed(content, change)


DAMAGES: tuple[Damage, ...] = (
    flip_a_bit,
    change_a_result,
    change_a_type,
    break_json,
    delete_rows,
    drop_a_table,
    change_a_cell,
    zero_a_page,
    write_noise,
    swap_events,
    rename_a_column,
    cut_short,
    swap_pages,
    view_for_a_table,
)


def _changed(content: bytes, change: Callable[[sqlite3.Connection], str]) -> Mutant:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(content)
        name = change(connection)
        return Mutant(name, connection.serialize())


def _tables(connection: sqlite3.Connection, *, filled: bool = False) -> list[str]:
    query = "select name from sqlite_master where type = 'table' order by name"
    names = [name for (name,) in connection.execute(query)]
    return [
        name
        for name in names
        if not filled or connection.execute(f"select count(*) from {name}").fetchone()[0]
    ]


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


def _cell(
    connection: sqlite3.Connection,
    rng: random.Random,
    tables: list[str] | None,
    column: str | None = None,
) -> tuple[str, str, int, Any]:
    """A cell of these tables: table, column, row and content."""
    filled = _tables(connection, filled=True)
    table = rng.choice([name for name in filled if tables is None or name in tables])
    known = set(_columns(connection, table))
    names = [name for name in RESULTS.get(table, sorted(known)) if name in known]
    column = column or rng.choice(names)
    rows = connection.execute(f"select rowid, {column} from {table} order by rowid").fetchall()
    return (table, column, *rng.choice(rows))


def _change_a_cell(
    connection: sqlite3.Connection, rng: random.Random, tables: list[str] | None
) -> str:
    table, column, rowid, content = _cell(connection, rng, tables)
    if isinstance(content, str) and content:
        place = rng.randrange(len(content))
        letter = rng.choice("0123456789ae{}\"',:. ".replace(content[place], ""))
        other: Any = content[:place] + letter + content[place + 1 :]
    else:
        other = (content or 0) + rng.choice([1, -1, 7, 10_000])
    connection.execute(f"update {table} set {column} = ? where rowid = ?", (other, rowid))
    return f"{table}.{column} of row {rowid}: {str(content)[:40]!r} is {str(other)[:40]!r}"


def _other_value(text: str, rng: random.Random) -> str:
    """JSON with one of its values replaced by one of another type."""
    document = json.loads(text)
    if not isinstance(document, dict) or not document:
        return "[1, 2]"
    name = rng.choice(sorted(document))
    document[name] = rng.choice([None, [], {}, "text", 1e308, -1, True, [[]], {"a": []}])
    return json.dumps(document)
