"""A study in its storage, running or at rest: its trials, tables, exports and winner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, overload

from hpo.api.surroundings import default_storage, typed_folder
from hpo.errors import visible
from hpo.report.export import (
    Export,
    export_front,
    export_trial,
    file_of,
    write_front,
    write_new,
)
from hpo.report.study_report import (
    BaselineResult,
    Overview,
    StudyReading,
    StudyReport,
    TrialReport,
    TrialResult,
    overview_of,
    overviews,
    study_report,
    trial_report,
)
from hpo.report.wording import hparam_text, number_text, short_names, states_text
from hpo.spec.file.passwords import without_password
from hpo.spec.words import count_text
from hpo.study.kept.files import KeptTrial
from hpo.study.log.ranking import ranking
from hpo.study.storage.tables import Storage
from hpo.study.storage.trust import check_known
from hpo.trial import TrialState

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

    from hpo.trained.load import TrainedModel

_SHOWN_TRIALS = 10


def studies(storage: str | None = None) -> tuple[Overview, ...]:
    """An overview of every study in a storage, oldest first.

    Raises:
        StudyError: for a storage that cannot be read.
    """
    with Storage.read(storage or default_storage()) as database:
        return overviews(database)


class Study:
    """A study in its storage, running or not; every call reads the storage again.

    `storage` is the URL of the database, `sqlite:///hpo.db` if left out.

    Raises:
        StudyError: if there is no such study, or its storage cannot be read.
    """

    def __init__(self, name: str, storage: str | None = None) -> None:
        self.name = name
        self.storage = storage or default_storage()
        self._known: StudyReading | None = None
        with Storage.read(self.storage) as database:
            database.study(name)

    @property
    def overview(self) -> Overview:
        """The objective, status, trials by state, epochs and best trial of the study."""
        with Storage.read(self.storage) as database:
            return overview_of(database, self._reading(database))

    @property
    def status(self) -> str:
        """`running`, how the last run ended (such as `finished`), or `killed`."""
        return self.overview.status

    @property
    def best(self) -> TrialResult | None:
        """The best trial of those trained in full that keep the constraints; None without one."""
        return self._read().best

    @property
    def trials(self) -> tuple[TrialResult, ...]:
        """All trials, by number."""
        reading = self._read()
        return tuple(reading.result(trial) for trial in reading.trials)

    def top(self, count: int) -> tuple[TrialResult, ...]:
        """The best trials that keep the constraints, best first; none until one can win.

        Those trained in full come first, then those that were stopped, by epochs and objective.
        """
        reading = self._read()
        sound = [
            trial
            for trial in ranking(reading.trials)
            if trial.violation == 0 and trial.state is not TrialState.DIVERGED
        ]
        if not sound or not sound[0].is_full:
            return ()
        return tuple(reading.result(trial) for trial in sound[:count])

    @property
    def baselines(self) -> tuple[BaselineResult, ...]:
        """Models of scikit-learn on the same rows, untuned, the best one first."""
        return self._read().baselines

    def report(self, top: int = _SHOWN_TRIALS) -> StudyReport:
        """The report that `hpo show` prints, with the `top` best trials."""
        with Storage.read(self.storage) as database:
            return study_report(database, self.name, top)

    def trial(self, number: int) -> TrialReport:
        """The report that `hpo show --trial` prints, with the curve of a trial and its norms.

        Raises:
            HpoError: if it has no such trial.
        """
        with Storage.read(self.storage) as database:
            return trial_report(database, self.name, number)

    def frame(self) -> DataFrame:
        """The trials as a pandas DataFrame, a row each, indexed by their numbers.

        The columns are state, epochs, value, each hparam by its path, then the last metrics.
        """
        import pandas as pd

        trials = self.trials
        paths = dict.fromkeys(path for trial in trials for path in trial.hparams)
        metrics = dict.fromkeys(name for trial in trials for name in trial.metrics)
        rows = [
            {
                "state": str(trial.state),
                "epochs": trial.epochs,
                "value": trial.value,
                **trial.hparams,
                **trial.metrics,
            }
            for trial in trials
        ]
        index = pd.Index([trial.number for trial in trials], name="trial", dtype="int64")
        return pd.DataFrame(
            rows, index=index, columns=["state", "epochs", "value", *paths, *metrics]
        )

    def curves(self) -> DataFrame:
        """Every epoch of every trial as a pandas DataFrame in long form: trial, epoch, metrics."""
        import pandas as pd

        state = self._read().state
        rows = [
            {"trial": number, "epoch": epoch, **metrics}
            for number, reports in sorted(state.metrics.items())
            for epoch, metrics in enumerate(reports, start=1)
        ]
        names = dict.fromkeys(name for row in rows for name in row)
        return pd.DataFrame(rows, columns=list(names or ("trial", "epoch")))

    @overload
    def export(self, path: None = None, trial: int | None = None) -> str: ...
    @overload
    def export(
        self, path: str | Path, trial: int | None = None, *, force: bool = False
    ) -> Path: ...
    def export(
        self, path: str | Path | None = None, trial: int | None = None, *, force: bool = False
    ) -> str | Path:
        """The best trial, or the one of that number, as a spec that `hpo.train` takes.

        Gives back the YAML text, or writes it to `path` and gives that back.

        Raises:
            HpoError: without a winner yet, for an unknown trial, or for a file in the way unless
                `force` is set.
        """
        if path is None:
            return self.exported(trial).text
        exported = self.exported(trial, Path(path))
        write_new(Path(path), exported.text, replace=force)
        return Path(path)

    def exported(
        self, trial: int | None = None, target: Path | None = None, *, trust_code: bool = False
    ) -> Export:
        """The trial that `export` takes, with its spec as it is to stand in the file `target`."""
        with Storage.read(self.storage) as database:
            return export_trial(
                database, self.name, trial, target, date.today(), trusts_code=trust_code
            )

    def kept(self, trial: int) -> KeptTrial:
        """Where the weights of a trial are, if `search.keep_weights` has kept them."""
        metrics = self._read().state.metrics.get(trial, ())
        return KeptTrial(self.storage, self.name, trial, [*metrics])

    def predictions(self, trial: int) -> np.ndarray | None:
        """What a trial predicts for the validation rows, float64 `[N, K]`; None if it is not kept.

        `search.keep_weights` keeps those of the best trials, once a search is over. They are
        chances, or values in the target's unit: the mean over the seeds. With folds, the rows of
        one stand after those of the other, each answered by the runs that have not trained on it.
        """
        found = self.kept(trial).read()
        return None if found is None else found.predictions

    def export_front(
        self, folder: str | Path, *, force: bool = False, trust_code: bool = False
    ) -> tuple[Path, ...]:
        """Write every trial of the Pareto front as a spec of its own into `folder`.

        Raises:
            HpoError: for a study with one objective, without a front yet, or for a file in the way
                unless `force` is set.
        """
        with Storage.read(self.storage) as database:
            exports = export_front(
                database, self.name, Path(folder), date.today(), trusts_code=trust_code
            )
        write_front(Path(folder), exports, replace=force)
        return tuple(path for path, _ in exports)

    def train(
        self,
        folder: str | Path,
        trial: int | None = None,
        *,
        device: str | None = None,
        force: bool = False,
        refit: bool = False,
        quiet: bool = False,
        trust_code: bool = False,
    ) -> TrainedModel:
        """Train the best trial, or the one of that number, in full; the options are `hpo.train`'s.

        Raises:
            HpoError: without a winner yet, for an unknown trial, or a folder in the way.
        """
        from hpo.api.stream import print_message
        from hpo.api.training import trained

        exported = self.exported(trial, trust_code=trust_code)
        document, tried = exported.document, exported.tried
        check_known(exported.experiment, tried, typed_folder(), is_trusted=trust_code)
        if files := file_of(document):
            print_message(f"Reads {files}, as the stored spec says.")
        return trained(
            document,
            folder,
            device=device,
            force=force,
            refit=refit,
            quiet=quiet,
            trust_code=False,
            kept=self.kept(exported.trial.number),
        )

    def __repr__(self) -> str:
        return f"Study({self.name!r}, storage={without_password(self.storage)!r})"

    def _repr_html_(self) -> str:
        """The study in a notebook: a line of figures, and a table of its best trials."""
        overview, reading = self.overview, self._read()
        best = [reading.result(trial) for trial in ranking(reading.trials)[:_SHOWN_TRIALS]]
        return "".join(_html(overview, best))

    def _read(self) -> StudyReading:
        with Storage.read(self.storage) as database:
            return self._reading(database)

    def _reading(self, database: Storage) -> StudyReading:
        """The study as it is stored now. Only new events are read, unless the spec has changed."""
        record, known = database.study(self.name), self._known
        if known is None or (known.record.id, known.record.document_hash) != (
            record.id,
            record.document_hash,
        ):
            known = self._known = StudyReading(record, database.events(record.id))
        else:
            known.take_in(database.events(record.id, since=known.state.seq))
        return known


def _html(overview: Overview, best: list[TrialResult]) -> Iterator[str]:
    yield (
        f"<p><b>{_escaped(overview.name)}</b> {_escaped(overview.status)}: "
        f"{_escaped(overview.objective)}, {overview.trials:,} of "
        f"{count_text(overview.trials_total, 'trial')} ({states_text(overview.states)}), "
        f"{count_text(overview.epochs, 'epoch')}</p>"
    )
    if not best:
        return
    paths = list(dict.fromkeys(path for trial in best for path in trial.hparams))
    names = short_names(paths)
    value = overview.objective.split(",")[0].partition(" ")[2]
    heads = ["trial", "state", "epochs", value, *(names[path] for path in paths)]
    yield "<table><thead><tr>"
    yield from (f"<th>{_escaped(head)}</th>" for head in heads)
    yield "</tr></thead><tbody>"
    for trial in best:
        hparams = (hparam_text(trial.hparams[p]) if p in trial.hparams else "" for p in paths)
        cells = (trial.number, trial.state, trial.epochs, number_text(trial.value), *hparams)
        yield f"<tr>{''.join(f'<td>{_escaped(str(cell))}</td>' for cell in cells)}</tr>"
    yield "</tbody></table>"


def _escaped(text: str) -> str:
    return escape(visible(text))
