"""`hpo.search` and `hpo.resume`: a study in a process of its own, waited for or watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

from hpo.api.asking import SpecLike, experiment_of, override_texts, plain_spec, stored_study
from hpo.api.stream import Stream, wait_for
from hpo.api.study import Study
from hpo.api.surroundings import default_storage
from hpo.spec.load import require_search


@overload
def search(
    spec: SpecLike,
    *,
    overrides: Mapping[str, Any] | None = None,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    new: bool = False,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: Literal[False] = False,
) -> Study: ...
@overload
def search(
    spec: SpecLike,
    *,
    overrides: Mapping[str, Any] | None = None,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    new: bool = False,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: Literal[True],
) -> Stream: ...
def search(
    spec: SpecLike,
    *,
    overrides: Mapping[str, Any] | None = None,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    new: bool = False,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: bool = False,
) -> Study | Stream:
    """Run the study that a spec describes, or go on with it; give it back when the run is over.

    `spec` is the path of a YAML file, a dict that holds the same, or a function with
    `@hpo.objective`. `overrides` replaces leaves,
    as in `{"train.epochs": 81}`. `trials` and `timeout` (`"10m"`, or seconds) are totals of the
    study. `storage` is the URL of a database, `new` starts over and keeps the old study under
    another name, `device` is a platform of JAX, such as `"cpu"`. `trust_code` runs code of yours
    that has changed since the study began.

    The run has a process of its own, so that this one may use JAX. Progress goes to stderr unless
    `quiet` is set. Ctrl-C stops the run after its present round and keeps the study: the same call
    goes on with it. With `stream`, the events come back as an iterator instead:

        for event in hpo.search("digits.yaml", stream=True):
            if event.kind == "best" and event.value > 0.98:
                break  # stops the run after its round; the study can go on later

    Raises:
        SpecError: for mistakes in the spec; its text has a line for each.
        HpoError: for anything else that the user can fix.
    """
    texts = override_texts(overrides)
    document = plain_spec(spec)
    experiment = experiment_of(document, texts, trials, timeout)
    require_search(experiment)
    request = _request(
        "search", trials, timeout, storage, device, quiet=quiet or stream, trust_code=trust_code
    )
    request |= {"spec": document, "overrides": texts, "new": new}
    events = Stream(request, experiment.name, storage or experiment.study.storage)
    return events if stream else _study(events)


@overload
def resume(
    name: str,
    *,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: Literal[False] = False,
) -> Study: ...
@overload
def resume(
    name: str,
    *,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: Literal[True],
) -> Stream: ...
def resume(
    name: str,
    *,
    trials: int | None = None,
    timeout: str | float | None = None,
    storage: str | None = None,
    device: str | None = None,
    quiet: bool = False,
    trust_code: bool = False,
    stream: bool = False,
) -> Study | Stream:
    """Go on with a study from its storage alone; the options are those of `search`.

    Raises:
        StudyError: if there is no such study.
        HpoError: for anything else that the user can fix.
    """
    url = storage or default_storage()
    require_search(stored_study(name, url, trials, timeout))
    request = _request(
        "resume", trials, timeout, url, device, quiet=quiet or stream, trust_code=trust_code
    )
    events = Stream(request | {"name": name, "new": False}, name, url)
    return events if stream else _study(events)


def _request(
    command: str,
    trials: int | None,
    timeout: str | float | None,
    storage: str | None,
    device: str | None,
    *,
    quiet: bool,
    trust_code: bool,
) -> dict[str, Any]:
    return {
        "command": command,
        "trials": trials,
        "timeout": timeout,
        "storage": storage,
        "device": device,
        "quiet": quiet,
        "trust_code": trust_code,
    }


def _study(events: Stream) -> Study:
    wait_for(events)
    return events.study
