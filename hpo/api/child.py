"""`python -m hpo.api.child`: runs what its parent process asks for, and sends it the events.

The first line of stdin is the request in JSON. Once the parent closes stdin, or is killed, the run
stops after its present round. Each line of stdout is a message in JSON.
"""

from __future__ import annotations

import json
import logging
import os
import select
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from hpo.api import events as told
from hpo.errors import HpoError, SpecError
from hpo.study.signals import StopRequest, leave, stop_signals

if TYPE_CHECKING:
    from rich.console import Console

    from hpo.spec.experiment import Experiment
    from hpo.study.kept.files import KeptTrial

_LOOK_SECONDS = 1.0


def main() -> None:
    """Do what the request on stdin asks for."""
    messages = Messages()

    def leave_at_once(code: int) -> None:
        messages.close()
        os._exit(code)

    request = json.loads(_first_line())
    try:
        with stop_signals(messages.say, leave_at_once) as stop:
            threading.Thread(target=_follow_parent, args=(stop, os.getppid()), daemon=True).start()
            _run(request, messages, stop)
    except HpoError as error:
        messages.refuse(error)
    messages.close()
    leave(0)


class Messages:
    """Messages to the parent, which a thread writes, so that training never waits for the parent.

    Anything else that is printed to stdout goes to stderr from now on.
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        # Its `put` may be called by a signal handler at any moment.
        self._queue: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def send(self, event: told.Event) -> None:
        """Send an event to the parent."""
        self._queue.put(told.to_document(event))

    def say(self, sentence: str) -> None:
        """Send a message for the user."""
        self.send(told.Said(sentence))

    def refuse(self, error: HpoError) -> None:
        """Send the error that the request met."""
        lines = error.mistakes if isinstance(error, SpecError) else [str(error)]
        names = [kind.__name__ for kind in type(error).__mro__]
        self._queue.put({"kind": "refused", "errors": names, "lines": lines})

    def close(self) -> None:
        """Wait until every message is written."""
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        with suppress(BrokenPipeError):  # the parent has gone, which stops the run
            while (message := self._queue.get()) is not None:
                self._file.write(json.dumps(message) + "\n")
                self._file.flush()


class _Warnings(logging.Handler):
    """Sends the warnings of libraries as messages for the user."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        sentence = " ".join(record.getMessage().split())
        self._messages.say(f"{record.levelname.lower()}: {sentence}")


class _Lines:
    """A text file whose lines are messages for the user."""

    def __init__(self, messages: Messages) -> None:
        self._messages, self._line = messages, ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._messages.say(line)
        return len(text)

    def flush(self) -> None: ...


def _first_line() -> bytes:
    # Unbuffered: `_follow_parent` reads the same pipe.
    with open(0, "rb", buffering=0, closefd=False) as pipe:
        return pipe.readline()


def _follow_parent(stop: StopRequest, parent: int) -> None:
    """Stop the run once the parent has closed its pipe, or has ended.

    A process that the parent forked may hold the pipe open, so the parent is looked for, too.
    """
    while os.getppid() == parent:
        if select.select([0], [], [], _LOOK_SECONDS)[0] and not os.read(0, 1):
            break
    stop.set()


def _run(request: Mapping[str, Any], messages: Messages, stop: StopRequest) -> None:
    from hpo import registry  # from here on imports take a while

    for entry in request["registry"]:
        registry.add(**entry)
    logging.basicConfig(level=logging.WARNING, handlers=[_Warnings(messages)], force=True)
    if request["command"] == "train":
        _train(request, messages, stop)
    elif request["command"] == "compress":
        _compress(request, messages, stop)
    else:
        _search(request, messages, stop)


def _search(request: Mapping[str, Any], messages: Messages, stop: StopRequest) -> None:
    from hpo.api.asking import experiment_of, stored_study
    from hpo.api.running import run_search
    from hpo.api.telling import Teller
    from hpo.report.live import display_for
    from hpo.spec.load import require_search

    options = (request["trials"], request["timeout"])
    if request["command"] == "resume":
        experiment = stored_study(request["name"], request["storage"], *options)
    else:
        spec = request["spec"]
        experiment = experiment_of(spec, request["overrides"], *options)
    objective = require_search(experiment).goal.first
    outcome = run_search(
        experiment,
        display_for(_console(messages), objective, is_quiet=request["quiet"]),
        stop,
        storage=request["storage"],
        device=request["device"],
        new=request["new"],
        trust_code=request["trust_code"],
        listen=Teller(experiment, messages.send).listen,
    )
    progress = outcome.progress
    begun = sum(progress.states.values())
    messages.send(told.Finished(experiment.name, outcome.reason, begun, progress.epochs))


def _train(request: Mapping[str, Any], messages: Messages, stop: StopRequest) -> None:
    from hpo.api.asking import experiment_of
    from hpo.api.running import data_of_today, run_training, trained_from
    from hpo.report.training import EpochDisplay
    from hpo.spec.load import require_single
    from hpo.trained.remote import holds_model, send_again, written_to

    experiment = require_single(experiment_of(request["spec"], request["overrides"]))
    train: Any = experiment.training.train
    epochs = getattr(train, "until", None) or train.epochs
    display = EpochDisplay(_console(messages), experiment.name, epochs, request["quiet"])
    place, force, trust_code = request["folder"], request["force"], request["trust_code"]
    about = trained_from(experiment, is_refit=request["refit"])
    data = partial(data_of_today, experiment, trust_code=trust_code)
    if send_again(place, about, data, is_replaced=force):
        return
    with written_to(place, is_replaced=force, about=about) as folder:
        run_training(
            experiment,
            folder,
            display,
            stop,
            device=request["device"],
            force=force,
            refit=request["refit"],
            trust_code=trust_code,
            kept=_kept(request["kept"]),
            must_converge=force and holds_model(place),
        )


def _compress(request: Mapping[str, Any], messages: Messages, stop: StopRequest) -> None:
    from hpo.api.models.compressing import run_compression
    from hpo.api.running import run_training
    from hpo.report.training import EpochDisplay
    from hpo.spec.load import require_single
    from hpo.trained.compress import Wanted  # imports JAX

    shared = {name: request[name] for name in ("device", "force", "trust_code")}

    def train(experiment: Experiment, folder: Path) -> None:
        epochs = require_single(experiment).training.train.epochs
        display = EpochDisplay(_console(messages), experiment.name, epochs, request["quiet"])
        run_training(experiment, folder, display, stop, must_converge=True, **shared)

    wanted = Wanted(*request["wanted"])
    run_compression(Path(request["model"]), wanted, request["folder"], train, **shared)


def _kept(given: Sequence[Any] | None) -> KeptTrial | None:
    """The trial whose weights may be kept."""
    if given is None:
        return None
    from hpo.study.kept.files import KeptTrial  # imports the database

    return KeptTrial(*given)


def _console(messages: Messages) -> Console:
    """A console whose lines are messages for the user."""
    from hpo.report.console import console_for

    lines: Any = _Lines(messages)
    return console_for(file=lines)


if __name__ == "__main__":
    main()
