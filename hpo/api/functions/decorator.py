"""`@hpo.objective`: a function of a script as a study, in the words of a spec."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpo.errors import HpoError

# What a spec says of a dimension, a sampler or a scheduler.
Words = Mapping[str, Any]


def Float(  # noqa: N802 (an entry reads as Optuna's distributions do)
    low: float, high: float, *, log: bool = False, step: float | None = None
) -> dict[str, Any]:
    """The entry of a space for a real number from `low` to `high`."""
    return _range("float", low, high, log=log, step=step)


def Int(  # noqa: N802
    low: int, high: int, *, log: bool = False, step: int | None = None
) -> dict[str, Any]:
    """The entry of a space for a whole number from `low` to `high`."""
    return _range("int", low, high, log=log, step=step)


def Choice(*values: Any) -> dict[str, Any]:  # noqa: N802
    """The entry of a space for one of `values`: anything that JSON can hold."""
    return {"choice": list(values)}


class Objective:
    """A function and the study that tunes it; a call runs the function alone."""

    def __init__(self, function: Callable[..., Any], sections: Words) -> None:
        functools.update_wrapper(self, function)
        self._function, self._sections = function, sections

    def __call__(self, *given: Any, **named: Any) -> Any:
        """What the function returns."""
        return self._function(*given, **named)

    def document(self) -> dict[str, Any]:
        """The spec of the study; it names the function by its file, relative to this folder.

        Raises:
            HpoError: for a function that another process cannot import, and for a search that
                such an import would start again.
        """
        own = inspect.unwrap(self._function)
        file = _file(own)
        _check_guard(file)
        module = sys.modules[own.__module__]
        spec = module.__spec__ if own.__module__ == "__main__" else None
        name = own.__module__ if spec is None else spec.name
        here = Path.cwd()
        place = str(file.relative_to(here) if file.is_relative_to(here) else file)
        sections = dict(self._sections)
        text = f"{name if '.' in name else place}:{own.__qualname__}"
        usual = re.sub(r"[^A-Za-z0-9._-]", "-", f"{file.stem}.{own.__name__}").lstrip("._-")
        sections["name"] = sections["name"] or usual
        sections["objective"] = {"python": text, **sections["objective"]}
        return sections


def objective(
    *,
    minimize: str | None = None,
    maximize: str | None = None,
    space: Mapping[str, Words] | None = None,
    name: str | None = None,
    trials: int | None = None,
    epochs: int = 1,
    workers: int | Words = 1,
    stay: bool = False,
    sampler: str | Words | None = None,
    scheduler: str | Words | None = None,
) -> Callable[[Callable[..., Any]], Objective]:
    """Make a function an objective, for `hpo.search(function)`.

        @hpo.objective(minimize="loss", space={"rate": hpo.Float(1e-4, 1.0, log=True)}, epochs=9)
        def train(trial, rate): ...

        if __name__ == "__main__":
            hpo.search(train, trials=40)

    Without a `space`, a function whose only argument is `trial` is run to find it. The study is
    called `FILE.FUNCTION` unless `name` is given. The other words are those of a spec, which
    `overrides` of `hpo.search` completes.

    Raises:
        HpoError: where not one of `minimize` and `maximize` is given.
    """
    if (minimize is None) == (maximize is None):
        raise HpoError('hpo.objective: give one of minimize and maximize, as in minimize="loss".')
    goal = {"maximize": maximize} if minimize is None else {"minimize": minimize}
    search: dict[str, Any] = {"objective": goal}
    search |= {} if trials is None else {"trials": trials}
    for key, value in (("sampler", sampler), ("scheduler", scheduler)):
        if value is not None:
            search[key] = {"name": value} if isinstance(value, str) else dict(value)
    sections = {
        "name": name,
        "objective": {"workers": workers, **({"stay": True} if stay else {})},
        "train": {"epochs": epochs},
        **({"space": dict(space)} if space else {}),
        "search": search,
    }
    return lambda function: Objective(function, sections)


def _range(kind: str, low: float, high: float, *, log: bool, step: float | None) -> dict[str, Any]:
    entry: dict[str, Any] = {kind: [low, high]}
    entry |= {"log": True} if log else {}
    return entry if step is None else {**entry, "step": step}


def _file(function: Any) -> Path:
    """The file of a function that other processes can import from there."""
    file = Path(function.__code__.co_filename)
    if not file.is_file():
        raise HpoError(
            f"{function.__name__}: is in no file, and each trial is a process that imports it: "
            "write it to a file (%%writefile train.py in a notebook), and import it from there."
        )
    if "<locals>" in function.__qualname__:
        raise HpoError(
            f"{function.__name__}: is defined within another function, where no trial can import "
            f"it: move it to the top level of {file.name}."
        )
    return file.resolve()


def _check_guard(file: Path) -> None:
    """Refuse a search that starts while the file of its function is imported."""
    frame = inspect.currentframe()
    while frame is not None:
        code, line = frame.f_code, frame.f_lineno
        is_file = code.co_name == "<module>" and Path(code.co_filename).resolve() == file
        if is_file and not _is_guarded(file, line):
            raise HpoError(
                f"{file.name}:{line}: each trial imports this file and would search again: put "
                'the call below `if __name__ == "__main__":`.'
            )
        frame = frame.f_back


def _is_guarded(file: Path, line: int) -> bool:
    """Whether a line stands below `if __name__ == "__main__":`."""
    return any(
        isinstance(node, ast.If)
        and "__name__" in ast.unparse(node.test)
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0)
        for node in ast.walk(ast.parse(file.read_bytes()))
    )
