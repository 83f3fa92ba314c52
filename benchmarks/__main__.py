"""Compares the speed of `hpo` with the loops that users write, both sides in one run.

`hpo` is timed from the start of the process to its end, with imports, compiling and storing. It
runs first without compiled code on disk ("cold"), then with the code of that run ("second study").
A peer's loop is timed from its first trial. Peers compile or train each trial again, so that their
rate does not depend on the number of trials. They may run fewer trials, and rates are compared.

    .venv/bin/python -m benchmarks                 # everything
    .venv/bin/python -m benchmarks mixed lanes     # some of it
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIBRARIES = ("jax", "jaxlib", "flax", "optuna", "numpy")
LOOPS = {"flax": "Optuna + Flax loop", "torch": "Optuna + eager PyTorch"}


@dataclass(frozen=True)
class Job:
    """A workload: its spec beside this file, and the numbers of trials of `hpo` and the peers."""

    spec: str
    trials: tuple[int, ...]
    flax_trials: int
    torch_trials: int
    words: str
    epochs: int = 10


JOBS = {
    "fixed": Job("fixed_mlp", (256,), 32, 64, "digits, one MLP 128-128; three numbers vary"),
    "mixed": Job("mixed_mlp", (256, 64), 32, 64, "digits, MLPs of many shapes, 10 dimensions"),
    "fashion": Job("fashion_cnn", (12,), 3, 4, "Fashion-MNIST, 10,000 images, CNN 32-64", 3),
    "resnet": Job("fashion_resnet", (12,), 3, 4, "Fashion-MNIST, 10,000 images, ResNet-8", 3),
    "lstm": Job("series_lstm", (24,), 3, 4, "ETTh1, the next day from 96 hours, LSTM 64", 3),
    "transformer": Job("sst2_transformer", (24,), 3, 4, "SST-2, an encoder of two layers", 3),
    "folds": Job("realmlp_folds", (24,), 1, 1, "California housing, RealMLP, 8 folds", 3),
}
# Numbers of trials of the fixed job: time and memory per trial should not grow with them.
SCALES = (64, 256, 1024, 4096)
WORKLOADS = [*JOBS, "scaling", "lanes"]


class Bench:
    """Runs both sides in folders of its own."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        self._folder, self._arguments = folder, arguments
        self._studies = 0

    def job(self, name: str) -> list[dict[str, Any]]:
        """The rows of a job: `hpo` cold, `hpo` as a second study, then the peers."""
        job, rows = JOBS[name], []
        for count in job.trials:
            trials = self._arguments.trials or count
            cache = self._folder / f"cache-{name}-{count}"
            for label in ("cold", "second study"):
                row = self._search(job.spec, trials, cache)
                rows.append({"side": f"hpo search, {label}", **row})
        arrays = self._arrays(job.spec)
        for peer in self._arguments.peers:
            default = job.flax_trials if peer == "flax" else job.torch_trials
            row = self._loop(peer, job, arrays, self._arguments.peer_trials or default)
            rows.append({"side": LOOPS[peer], **row})
        return rows

    def scaling(self) -> list[dict[str, Any]]:
        """The fixed job with more and more trials; its program is compiled already."""
        cache = self._folder / "cache-scaling"
        counts = [self._arguments.trials] if self._arguments.trials else SCALES
        self._search("fixed_mlp", counts[0], cache)
        return [{"side": "hpo search", **self._search("fixed_mlp", n, cache)} for n in counts]

    def lanes(self) -> dict[str, Any]:
        """Throughput against lanes, on one core."""
        command = [sys.executable, HERE / "lanes.py"]
        if self._arguments.trials:  # a try-out
            command += ["--lanes", "1", "2", "--seconds", "0.1"]
        result: dict[str, Any] = json.loads(_output(command, {"PYTHONPATH": str(HERE.parent)}))
        return result

    def _search(self, spec: str, trials: int, cache: Path) -> dict[str, Any]:
        """One whole `hpo search`, in a folder of its own: time, peak memory, best value."""
        self._studies += 1
        folder = self._folder / f"study-{self._studies}"
        folder.mkdir()
        hpo = [sys.executable, "-m", "hpo"]
        command = [*hpo, "search", HERE / f"{spec}.yaml", "--trials", str(trials)]
        if self._arguments.epochs:
            command += ["--set", f"train.epochs={self._arguments.epochs}"]
        # Code that `hpo` or JAX compiled earlier must not help.
        environment = {
            **os.environ,
            "HPO_CACHE": str(cache),
            "XDG_CACHE_HOME": str(cache),
            "PYTHONPATH": str(HERE.parent),
        }
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        with (folder / "log").open("w+") as log:
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            if status != 0:
                log.seek(0)
                sys.exit(log.read())
        shown = subprocess.run(
            [*hpo, "show", spec.replace("_", "-"), "--json"],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )
        study = json.loads(shown.stdout)
        return {
            "trials": study["overview"]["trials"],
            "seconds": seconds,
            "best": study["overview"]["best"]["value"],
            "programs": study["programs"],
            "peak_mebibytes": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        }

    def _arrays(self, spec: str) -> Path:
        """The data of a job as the peers read them."""
        file = self._folder / f"{spec}.npz"
        _output(
            [sys.executable, HERE / "arrays.py", HERE / f"{spec}.yaml", file],
            {"PYTHONPATH": str(HERE.parent)},
        )
        return file

    def _loop(self, peer: str, job: Job, arrays: Path, trials: int) -> dict[str, Any]:
        """A peer's loop, in a process of its own."""
        python = self._arguments.torch_python if peer == "torch" else sys.executable
        epochs = self._arguments.epochs or job.epochs
        command = [python, HERE / f"{peer}_loop.py", job.spec, "--data", arrays]
        output = _output([*command, "--trials", str(trials), "--epochs", str(epochs)])
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result


def _output(command: list[Any], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def rated(rows: list[dict[str, Any]]) -> None:
    """Give each row its rate, and its ratio to the rate of each peer."""
    for row in rows:
        row["trials_a_second"] = row["trials"] / row["seconds"]
    for peer, side in LOOPS.items():
        for base in (row for row in rows if row["side"] == side):
            for row in rows:
                row[f"times_{peer}"] = row["trials_a_second"] / base["trials_a_second"]


def job_table(name: str, rows: list[dict[str, Any]]) -> str:
    titles = f"{'trials':>8}{'seconds':>10}{'trials/s':>10}{'x Flax':>9}{'x Torch':>9}{'best':>11}"
    lines = [f"\n{name}: {JOBS[name].words}", f"{'':28}{titles}"]
    for row in rows:
        ratios = "".join(
            f"{row[f'times_{peer}']:9.1f}" if f"times_{peer}" in row else f"{'-':>9}"
            for peer in LOOPS
        )
        lines.append(
            f"{row['side']:28}{row['trials']:8}{row['seconds']:10.1f}"
            f"{row['trials_a_second']:10.2f}{ratios}{row['best']:11.5g}"
        )
    return "\n".join(lines)


def scaling_table(rows: list[dict[str, Any]]) -> str:
    lines = ["\nscaling: the fixed job, compiled before"]
    lines.append(f"{'trials':>8}{'seconds':>10}{'ms a trial':>12}{'peak MiB':>10}")
    for row in rows:
        each = 1000 * row["seconds"] / row["trials"]
        lines.append(
            f"{row['trials']:8}{row['seconds']:10.1f}{each:12.1f}{row['peak_mebibytes']:10.0f}"
        )
    return "\n".join(lines)


def lanes_table(result: dict[str, Any]) -> str:
    peak, products = result["peak_flops"], result["product_flops"]
    lines = [
        f"\nlanes: one core, the fixed job; its peak is {peak / 1e9:.0f} GFLOP/s",
        f"{products / peak:.0%} of it on the matrix products of this model alone",
        f"{'form':>6}{'lanes':>7}{'epochs/s':>10}{'GFLOP/s':>9}{'of peak':>9}{'of products':>13}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['form']:>6}{row['lanes']:7}{row['epochs_a_second']:10.1f}"
            f"{row['flops'] / 1e9:9.1f}{row['flops'] / peak:9.0%}{row['flops'] / products:13.0%}"
        )
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """The machine and versions on which the figures were measured."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in LIBRARIES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--peers", nargs="*", choices=LOOPS, default=list(LOOPS))
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    small = parser.add_argument_group("for a try-out, not for figures")
    small.add_argument("--trials", type=int, help="instead of each workload's own")
    small.add_argument("--peer-trials", type=int)
    small.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    unknown = set(arguments.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}: there are {', '.join(WORKLOADS)}")
    chosen = arguments.workloads or WORKLOADS
    needs_torch = "torch" in arguments.peers and any(name in JOBS for name in chosen)
    if (
        needs_torch
        and subprocess.run(
            [arguments.torch_python, "-c", "import torch, optuna"], capture_output=True
        ).returncode
    ):
        parser.error(
            f"{arguments.torch_python} has no PyTorch: pip install '.[bench]', name another one "
            "by --torch-python, or leave it out by --peers flax"
        )

    about = machine()
    print(f"{about['cores']} cores, {about['processor']}, Python {about['python']}", end="")
    print("".join(f", {name} {version}" for name, version in about["versions"].items()))
    figures: dict[str, Any] = {"machine": about}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments)
        for name in chosen:
            if name in JOBS:
                figures[name] = bench.job(name)
                rated(figures[name])
                print(job_table(name, figures[name]), flush=True)
            elif name == "scaling":
                figures[name] = bench.scaling()
                print(scaling_table(figures[name]), flush=True)
            else:
                figures[name] = bench.lanes()
                print(lanes_table(figures[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
