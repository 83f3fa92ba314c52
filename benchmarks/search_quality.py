"""Measures the quality of a search's best configuration against its epochs, on tables of trainings.

    python benchmarks/search_quality.py --tables FOLDER
    python benchmarks/search_quality.py --study sqlite:///hpo.db#digits

FOLDER holds a folder for each family of tables: see README.md beside this file. The environment
variable HPO_TABLES names it too. The script replays hpo's own samplers, schedulers and assignment,
and Optuna's `study.optimize` beside them. With `--study`, the table is a study of random draws that
trained in full. The script shows which search would have done best on its curves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from quality.figures import Row, plot, text_table
from quality.peers import PEERS, optimize
from quality.replay import Search, replay
from quality.tables import STUDIES, load_problem, problem_names
from threadpoolctl import threadpool_limits

from hpo.spec.sections.scheduler import SchedulerSpec
from hpo.spec.sections.search import SamplerSpec

# The budgets, in full trainings, at which the regret is printed.
AT = (10, 25, 50)
# A search is `sampler+scheduler@lanes`: 1 lane, or 8 in two pools as on two cores.
SEARCHES = ("auto+auto@1", "auto+auto@8", "random+none@8", *PEERS)


def main() -> None:
    """Run the comparison of the command line; print a table, and write figures if asked."""
    args = _arguments()
    jobs = [
        (args.tables, family, name, search, seed)
        for family, name in _problems(args)
        for search in args.search
        for seed in range(args.seeds)
    ]
    curves: dict[tuple[str, str], dict[str, list[list[float]]]] = {}
    with ExitStack() as stack:
        run_all: Callable[..., Iterable[list[float]]] = map
        if args.processes > 1:
            spawn = get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(args.processes, mp_context=spawn))
            run_all = pool.map
        for job, regrets in zip(jobs, run_all(_run, jobs), strict=True):
            _, family, name, search, _ = job
            family = name.rpartition("#")[2] if family == STUDIES else family
            curves.setdefault((family, search), {}).setdefault(name, []).append(regrets)
    rows = [_row(family, search, by_name) for (family, search), by_name in curves.items()]
    print(text_table(rows, AT))
    if args.json:
        args.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    if args.plot:
        plot(rows, args.plot)


def _problems(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The family and the name of each requested problem."""
    if args.study:
        for source in args.study:
            load_problem(args.tables, STUDIES, source)  # exits if it is None
        return [(STUDIES, source) for source in args.study]
    families = problem_names(args.tables)
    wanted = {f: names for f, names in families.items() if not args.family or f in args.family}
    if not wanted:
        sys.exit(f"{args.tables} holds none of the families {args.family or 'known'}: see --help.")
    return [
        (family, name)
        for family, names in wanted.items()
        for name in names[:: max(1, len(names) // args.problems)][: args.problems]
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Regret of searches on tables of trainings.")
    tables = os.environ.get("HPO_TABLES")
    parser.add_argument("--tables", type=Path, default=tables)
    parser.add_argument("--study", nargs="+", help="instead of tables, studies: URL#NAME")
    parser.add_argument("--family", nargs="*", default=[], help="only these families")
    parser.add_argument("--problems", type=int, default=100, help="the most problems of a family")
    parser.add_argument("--search", nargs="*", default=list(SEARCHES), help="which, by name")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="write the curves to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves into this PNG")
    args = parser.parse_args()
    if args.tables is None and not args.study:
        parser.error("name a folder with --tables, or studies with --study")
    args.tables = Path(args.tables or "")
    return args


def _run(job: tuple[Path, str, str, str, int]) -> list[float]:
    """The regrets of one search with one seed."""
    tables, family, name, search, seed = job
    warnings.simplefilter("ignore")
    problem = load_problem(tables, family, name)
    with threadpool_limits(limits=1):
        if search in PEERS:
            return optimize(problem, search, seed, AT[-1])
        return replay(problem, _search(search), seed, AT[-1])


def _search(text: str) -> Search:
    """A search from `auto+hyperband@8`; either side may be JSON, as in a spec."""
    both, _, lanes = text.rpartition("@")
    sampler, scheduler = (
        json.loads(part) if part.startswith("{") else {"name": part} for part in both.split("+")
    )
    pools = 2 if int(lanes) > 1 else 1
    return Search(
        TypeAdapter(SamplerSpec).validate_python(sampler),
        TypeAdapter(SchedulerSpec).validate_python(scheduler),
        int(lanes) // pools,
        pools,
    )


def _row(family: str, search: str, by_name: dict[str, list[list[float]]]) -> Row:
    """The mean over problems and seeds; its error is that over the seeds."""
    regrets = np.array(list(by_name.values()))
    problems, seeds, _ = regrets.shape
    variance = regrets.var(axis=1, ddof=1) if seeds > 1 else np.full_like(regrets[:, 0], np.nan)
    error = np.sqrt((variance / seeds).sum(axis=0)) / problems
    mean = regrets.mean(axis=(0, 1))
    return Row(family, search, problems, seeds, mean.tolist(), error.tolist())


if __name__ == "__main__":
    main()
