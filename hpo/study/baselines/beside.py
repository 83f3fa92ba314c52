"""Fits baselines beside a search: in a process that starts after the first plan is pinned.

Measuring plans beside another process would change what is pinned. The process ends with the
search. Its results are events, so that no run repeats those of an earlier one.
"""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hpo
from hpo.data.dataset import DataSet
from hpo.errors import HpoError
from hpo.registry import METRICS
from hpo.spec.sections.goal import Goal, is_own
from hpo.study.baselines.estimators import QUANTILES, planned
from hpo.study.baselines.handover import Handed, TooLargeError, hand_over, prefixes
from hpo.study.baselines.judging import judge, mean_prediction, thresholds_of
from hpo.study.baselines.network import network_of
from hpo.study.log.baseline import Baseline, BaselineKey
from hpo.study.log.damage import said
from hpo.study.log.events import MERGING
from hpo.study.loop.replicas import Replicas
from hpo.study.storage.journal import Journal

# CPU seconds that baselines may take in all runs of a study, and the share of its own time, where
# that is more. The same share is how long an ended search waits for them, between these bounds: on
# busy cores, the lowest priority gets a few hundredths of a core.
_LEAST_SECONDS = 20.0
_SHARE = 0.1
_WAIT_SECONDS = (5.0, 30.0)
# Less is not worth starting: the libraries alone take about 2 seconds to import.
_WORTH_SECONDS = 2.0
# The share of the CPU time left that the network may take; a slower one is cut after two epochs.
_NETWORK_SHARE = 0.5
_LOOK_SECONDS = 0.1
_SILENT_SECONDS = 0.5  # of waiting, before the user is told

_START = (
    "import os; os.nice(19); import sys; sys.path.insert(0, {root!r});"
    " from hpo.study.baselines.child import main; main()"
)
_LIMITS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_ONE_THREAD = dict.fromkeys(_LIMITS, "1") | {
    "JAX_PLATFORMS": "cpu",  # an accelerator belongs to the search
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}


@dataclass(frozen=True)
class Allowance:
    """How long baselines may take: CPU seconds, or by default (`given` is None) a share."""

    given: float | None

    def seconds(self, search_seconds: float) -> float:
        """The CPU seconds in all, in a study that has taken so long."""
        return self.given or max(_LEAST_SECONDS, _SHARE * search_seconds)

    def wait_seconds(self, search_seconds: float) -> float:
        """How long a search that has ended waits for them."""
        least, most = _WAIT_SECONDS
        return self.given or min(max(least, _SHARE * search_seconds), most)


def can_be_judged(data: DataSet, goal: Goal) -> bool:
    """Whether the first objective judges predictions, as a metric of the task does."""
    if data.positions:  # a class for each pixel or token, which no baseline gives
        return False
    metric = goal.first.code
    is_of_task = metric in METRICS and data.task in METRICS[metric].tasks
    return is_own(metric) or (is_of_task and metric != "train_loss")


class Baselines:
    """The baselines of an open study; `spent_seconds` is the time of its earlier runs.

    `training` is that of the spec, `start` the command of the process.
    """

    def __init__(
        self,
        data: DataSet,
        training: Any,
        goal: Goal,
        allowance: Allowance,
        journal: Journal,
        spent_seconds: float,
        start: Sequence[str] = (),
    ) -> None:
        self._data, self._training, self._goal = data, training, goal
        self._replicas = Replicas.of(training, goal)
        self._allowance, self._journal = allowance, journal
        root = str(Path(hpo.__file__).parent.parent)
        self._start = start or (sys.executable, "-P", "-c", _START.format(root=root))
        self._began = time.monotonic() - spent_seconds
        self._earlier = journal.state.baseline_seconds  # of CPU
        self._news: queue.SimpleQueue[Baseline | str | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._left: list[BaselineKey] = []
        self._due = self._process_began = 0.0
        self._used = self._told = 0.0  # CPU seconds of the process, and of its results

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._is_over

    def look(self, say: Callable[[str], None]) -> None:
        """Start them when the first plan is pinned, note results, and end them in time."""
        now = time.monotonic()
        if self._is_over or now < self._due:
            return
        self._due = now + _LOOK_SECONDS
        if self._thread is None:
            if self._is_pinned:
                self._begin()
            return
        self._take_in(say)
        if not self._is_over and self._cpu_seconds() >= self._left_seconds():
            self.cut()

    def wait(self, is_skipped: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Wait for what is left when the trials have ended; what remains is cut."""
        began, has_said = time.monotonic(), False
        until = began + self._allowance.wait_seconds(began - self._began)
        if self._thread is None and not self._is_over and self._is_pinned:  # trials were quick
            self._begin()
        while self._thread is not None and not self._is_over:
            now = time.monotonic()
            if now >= until or is_skipped():
                self.cut()
                return
            if now - began > _SILENT_SECONDS and not has_said:
                has_said = True
                say(f"Baselines take up to {until - now:.0f} s more; Ctrl-C skips the rest.")
            self._thread.join(_LOOK_SECONDS)
            self.look(say)
            self._journal.flush()

    def cut(self) -> None:
        """End the process, and note which baselines have no result."""
        self._used = self._cpu_seconds()
        self.end()
        self._take_in(lambda _: None)

    def end(self) -> None:
        """End the process; what has not been noted is lost."""
        with self._lock:
            self._is_over = True
            if self._process is not None:
                self._process.kill()
        if self._thread is not None:
            self._thread.join()

    @property
    def _is_pinned(self) -> bool:
        """Whether the study has a plan."""
        return bool(self._journal.state.pins.keys() - {MERGING})

    def _begin(self) -> None:
        if self._left_seconds() < _WORTH_SECONDS:
            self._is_over = True
            return
        known = {key for key, found in self._journal.state.baselines.items() if not found.is_cut}
        self._thread = threading.Thread(target=self._run, args=(known,), daemon=True)
        self._thread.start()

    def _left_seconds(self) -> float:
        """The CPU seconds that this run may give them in all."""
        return self._allowance.seconds(time.monotonic() - self._began) - self._earlier

    def _cpu_seconds(self) -> float:
        """The CPU time of the process; the time since its start where the system does not say."""
        if self._process is None:
            return 0.0
        with suppress(OSError, ValueError, IndexError):
            text = Path(f"/proc/{self._process.pid}/stat").read_text()
            fields = text.rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return time.monotonic() - self._process_began

    def _take_in(self, say: Callable[[str], None]) -> None:
        """Note what has come; after the last of it, those that have no result."""
        while not self._news.empty():
            news = self._news.get()
            if isinstance(news, str):
                say(news)
            elif news is not None:
                self._told += news.seconds
                self._note(news)
            else:
                self._is_over = True
                for key in self._left.copy():
                    seconds = round(max(0.0, self._used - self._told), 3)
                    self._told += seconds
                    self._note(Baseline(*key, seconds=seconds))

    def _note(self, baseline: Baseline) -> None:
        self._left = [key for key in self._left if key != baseline.key]
        self._journal.record(baseline)

    # -- in a thread of its own -------------------------------------------------------------------

    def _run(self, known: set[BaselineKey]) -> None:
        try:
            self._follow(known)
        except TooLargeError:
            self._news.put("No baselines: the features of the judged rows take more than a GiB.")
        except OSError as error:
            self._news.put(f"No baselines: their process cannot be started ({error.strerror}).")
        finally:
            self._news.put(None)

    def _follow(self, known: set[BaselineKey]) -> None:
        data = self._data
        network = network_of(data, self._training)
        handed = hand_over(data, self._training.train.seed, has_network=network is not None)
        if handed.is_sparse and not handed.is_twice:
            network = None
        keys = planned(
            data.task,
            data.outputs,
            handed.window,
            is_sparse=handed.is_sparse,
            has_network=network is not None,
        )
        wanted, done = [key for key in keys if key not in known], 0
        self._left = wanted.copy()
        with handed.file:
            if not wanted:
                return
            with self._started(handed, wanted, network) as process:
                with self._lock:
                    self._process, self._process_began = process, time.monotonic()
                    if self._is_over:
                        process.kill()
                try:
                    for line, predictions in _results(process.stdout):
                        self._news.put(self._judged(line, predictions, handed))
                        done += 1
                except BaseException:
                    process.kill()  # or leaving the block would wait for its end
                    raise
        if done < len(wanted) and not self._is_over:
            trouble = f"its process ended with status {process.returncode}"
            self._news.put(Baseline(*wanted[done], trouble=trouble))

    def _started(
        self, handed: Handed, keys: Sequence[BaselineKey], network: dict[str, Any] | None
    ) -> subprocess.Popen[bytes]:
        metric = self._goal.first.metric
        if network is not None:
            network |= {"seconds": _NETWORK_SHARE * self._left_seconds()}
        request = {
            "file": handed.file.fileno(),
            "places": handed.places,
            "prefixes": prefixes(self._data),
            "splits": ["validation", *([] if self._data.test is None else ["test"])],
            "task": self._data.task,
            "outputs": self._data.outputs,
            "seed": self._training.train.seed,
            "quantile": QUANTILES.get(metric) if self._data.task == "regression" else None,
            "are_counts": handed.are_counts,
            "window": handed.window,
            "network": network,
            "baselines": keys,
        }
        return subprocess.Popen(
            [*self._start, json.dumps(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[handed.file.fileno()],
            env={**os.environ, **_ONE_THREAD},
        )

    def _judged(
        self, line: Mapping[str, Any], predictions: Mapping[str, np.ndarray], handed: Handed
    ) -> Baseline:
        metrics: Mapping[str, Mapping[str, float]] = {}
        trouble = line["trouble"]
        try:
            metrics = self._metrics(predictions) if predictions else {}
        except HpoError as error:  # of a metric or a loss of the user's own
            metrics, trouble = {}, said(error)
        name, setting = line["baseline"]
        return Baseline(
            name,
            setting,
            metrics.get("validation", {}),
            metrics.get("test", {}),
            round(line["seconds"], 3),
            handed.rows,
            handed.rows_of,
            trouble,
        )

    def _metrics(self, predictions: Mapping[str, np.ndarray]) -> Mapping[str, Mapping[str, float]]:
        """The metrics on the rows of each split: of folds, what judges a trial on them.

        On test rows it is the folds' mean prediction that is judged, as that of a trained model.
        """
        data, names = self._data, prefixes(self._data)
        folds = [
            judge(one, one.validation, predictions[f"{prefix}validation"], self._training)
            for prefix, one in zip(names, data.members, strict=True)
        ]
        found = {"validation": self._replicas.summary(folds) if data.folds else folds[0]}
        if data.test is not None:
            mean = mean_prediction(data, [predictions[f"{prefix}test"] for prefix in names])
            chosen = None
            if self._training.train.threshold is not None:  # on validation; there are no folds then
                chosen = thresholds_of(data, predictions["validation"], self._training)
            found["test"] = judge(data, data.test, mean, self._training, chosen)
        return found


def _results(source: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, np.ndarray]]]:
    """The results that a process writes, each with its predictions, until it ends."""
    while text := source.readline():
        line, found = json.loads(text), {}
        for name, shape in line["shapes"].items():
            content = source.read(8 * math.prod(shape))
            if len(content) < 8 * math.prod(shape):
                return
            found[name] = np.frombuffer(content, np.float64).reshape(shape)
        yield line, found
