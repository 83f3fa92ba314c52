"""Runs `hpo` in forked copies of a process that has imported everything but started no backend.

A copy starts in milliseconds, where a process takes seconds. It differs from a process that a shell
starts: modules are imported already, strings hash alike in all copies, and the copy leaves without
the interpreter's own ending. So a share of the campaign starts real processes.
"""

from __future__ import annotations

import codecs
import encodings
import io
import json
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

PATIENCE_SECONDS = 60.0
MEMORY_BYTES = 500 * 2**20
CPU_SECONDS = 5.0
_MOST_LINES = 21  # 20 mistakes, and how many more there are


class Ended(NamedTuple):
    """How a command ended: its exit code (below 0: by that signal), what it printed, its effort."""

    code: int
    out: str
    err: str
    cpu_seconds: float


def import_everything() -> None:
    """Import all that a command uses, but for JAX's backend, which must not be forked.

    A copy that runs as another user may not be able to read encodings that are not imported.
    """
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(LookupError):  # those of Windows
            codecs.lookup(module.name)
    import optuna  # noqa: F401
    import orbax.checkpoint  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import skopt  # noqa: F401

    import hpo.api.asking
    import hpo.api.running
    import hpo.cli.app
    import hpo.data.readers.bundled
    import hpo.report.ending
    import hpo.report.live
    import hpo.study.run
    import hpo.study.train  # noqa: F401


class Child:
    """A forked copy that runs a function in a folder; its output lies in files beside it."""

    def __init__(self, folder: Path, work: Callable[[], int | None]) -> None:
        number = sum(1 for _ in folder.glob(".out-*"))
        self._out, self._err = folder / f".out-{number}", folder / f".err-{number}"
        self._out.touch()
        self._err.touch()  # a copy may be killed before it opens it
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(folder, work)

    def _run(self, folder: Path, work: Callable[[], int | None]) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            for number, file in ((0, Path(os.devnull)), (1, self._out), (2, self._err)):
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
                os.dup2(os.open(file, flags, 0o666), number)
            os.chdir(folder)
            new_streams()
            code = work() or 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code & 255)

    @property
    def has_ended(self) -> bool:
        """Whether the copy has ended, and waits to be asked how."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def kill(self) -> None:
        """Kill the copy; nothing if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(
        self, seconds: float = PATIENCE_SECONDS, watch: Callable[[], object] = lambda: None
    ) -> Ended:
        """Wait until the copy has ended, and call `watch` meanwhile.

        The copy is killed after that many seconds, which `err` says.
        """
        deadline, late = time.monotonic() + seconds, ""
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline and not late:
                late = f"[still running after {seconds:g} seconds]"
                self.kill()
            watch()
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        out, err = (file.read_bytes().decode(errors="replace") for file in (self._out, self._err))
        return Ended(code, out, err + late, usage.ru_utime + usage.ru_stime)


def start(folder: Path, *arguments: str, setting: Callable[[], None] | None = None) -> Child:
    """Start `hpo` with these arguments in a folder; `setting` is called in the copy before."""

    def work() -> None:
        from hpo.cli import main

        signal.signal(signal.SIGINT, signal.default_int_handler)
        if setting is not None:
            setting()
        sys.argv = ["hpo", *arguments]
        main()

    return Child(folder, work)


def hpo(
    folder: Path,
    *arguments: str,
    setting: Callable[[], None] | None = None,
    seconds: float = PATIENCE_SECONDS,
) -> Ended:
    """Run `hpo` with these arguments in a folder, to its end."""
    return start(folder, *arguments, setting=setting).wait(seconds)


def batch(place: Path, cases: Sequence[Callable[[], None]]) -> Iterator[Ended]:
    """How each case ends, in one copy of this process for as many of them as it survives.

    Each may use 5 seconds of CPU, and the copy 500 MB more than this process: a signal ends it.
    """
    begun = 0
    while begun < len(cases):
        results = place / f"results-{begun}"
        work = partial(_run_cases, cases, begun, results)
        ended = Child(place, work).wait(PATIENCE_SECONDS * 10)
        for line in results.read_text().splitlines():
            _, _, result = line.partition("\t")
            yield Ended(*json.loads(result)) if result else ended
            begun += 1


def run_here(arguments: Sequence[str]) -> None:
    """Run `hpo` with these arguments in this process.

    Raises:
        SystemExit: if it ends with a code other than 0.
    """
    from hpo.cli import main

    sys.argv = ["hpo", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise


def limit_memory() -> None:
    """Let this process have 500 MB more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def trouble(ended: Ended, *, codes: tuple[int, ...] = (0, 2)) -> str:
    """What is wrong with the way in which a command ended; empty if it is as promised."""
    shown = " | ".join(ended.err.strip().splitlines()[-2:])[:400]
    if "still running after" in ended.err:
        return f"hangs: {shown}"
    if "Traceback" in ended.err:
        return f"traceback: {shown}"
    if ended.code not in codes:
        return f"exit code {ended.code}: {shown}"
    lines = ended.err.splitlines()
    if ended.code == 2 and not 1 <= len(lines) <= _MOST_LINES:
        return f"{len(lines)} lines on stderr: {shown}"
    odd = [c for c in ended.err + ended.out if not c.isprintable() and c not in "\n\t"]
    return f"prints {odd[0]!r}: {shown}" if odd else ""


def effort_trouble(ended: Ended) -> str:
    """Whether a case of a batch needed too much time or memory, or ended its process."""
    if ended.code == -signal.SIGPROF or ended.cpu_seconds > CPU_SECONDS:
        return f"more than {CPU_SECONDS:g} s of CPU"
    if "MemoryError" in ended.err:
        return f"more than {MEMORY_BYTES >> 20} MB of memory: {ended.err.strip()[-200:]}"
    if ended.code < 0 or ended.code > 2:
        return f"ends the process with {ended.code}: {ended.err.strip()[-200:]}"
    longest = max(map(len, ended.err.splitlines()), default=0)
    return f"a line of {longest:,} characters" if longest > 2_000 and ended.code == 2 else ""


def _run_cases(cases: Sequence[Callable[[], None]], first: int, results: Path) -> None:
    limit_memory()
    with results.open("w") as file:
        for number in range(first, len(cases)):
            file.write(f"{number}\t")
            file.flush()
            file.write(json.dumps(_captured(cases[number])) + "\n")


def _captured(case: Callable[[], None]) -> Ended:
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    before, code = time.process_time(), 0
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # its signal ends the process
    with redirect_stdout(out), redirect_stderr(err):
        try:
            case()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException:
            code = 1
            traceback.print_exc()
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - before
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(errors="replace")[-20_000:])
    return Ended(code, texts[0], texts[1], seconds)


def new_streams() -> None:
    """Open Python's streams again, as a fresh process has them."""
    encoding = "utf-8"
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        buffered = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffered,
            encoding=encoding,
            errors="backslashreplace" if number == 2 else "strict",
            line_buffering=number == 2,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
