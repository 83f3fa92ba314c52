"""`hpo data`: what is in a file, and the named data sets of this machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from hpo.api.surroundings import data_cache_folder, data_home
from hpo.cli import completion
from hpo.cli.options import AsJson
from hpo.cli.output import print_json, print_line, print_view, stderr
from hpo.errors import HpoError

app = typer.Typer(
    help="Look at data; list and download data sets.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the data sets that a spec can name, and where they are on this machine.

    Example: hpo data list
    """
    from hpo.data.cache import DataCache
    from hpo.report.datasets import as_rows, datasets_table, known_datasets, usage_text

    datasets = known_datasets(data_home())
    if as_json:
        print_json(as_rows(datasets))
        return
    print_view(datasets_table(datasets))
    usage = DataCache(data_cache_folder()).usage()
    if usage.entries:
        print_line(
            f"\n{usage_text(usage)} in {data_cache_folder()}; `hpo data clear` deletes them."
        )


@app.command()
def get(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A data set of `hpo data list`.",
            autocompletion=completion.datasets,
        ),
    ],
) -> None:
    """Download a data set into HPO_DATA and compare its checksums.

    Example: hpo data get fashion_mnist
    """
    from hpo.data.download import fetch_dataset
    from hpo.report.datasets import DownloadDisplay

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # a download removes its unfinished file
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = data_home()
    if home is None:
        raise HpoError("hpo data get: there is no home folder: set HPO_DATA to a folder.")
    with DownloadDisplay(stderr(), name) as display:
        folder = fetch_dataset(name, home, progress=display.watch)
    print_line(str(folder))


@app.command()
def show(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file, a folder, or a data set of `hpo data list`.",
            autocompletion=completion.files,
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="COLUMN", help="The column to predict; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in a data set: columns, gaps, classes, repeated rows, copies of the target.

    It looks at DATA as `hpo init` does, and writes nothing.

    Example: hpo data show houses.csv
    """
    from hpo.api.starting import overview
    from hpo.report.init.wording import as_json as plain
    from hpo.report.init.wording import overview_view

    found = overview(data, Path.cwd(), data_home(), target or ())
    if as_json:
        print_json(plain(found))
    else:
        print_view(overview_view(found))


@app.command()
def clear(
    downloads: Annotated[
        bool, typer.Option("--downloads", help="Also delete what `hpo data get` downloaded.")
    ] = False,
) -> None:
    """Delete the preprocessed copies of data sets; your files stay.

    Example: hpo data clear
    """
    from hpo.data.cache import DataCache
    from hpo.data.download import clear_downloads
    from hpo.report.datasets import downloads_text, usage_text

    usage = DataCache(data_cache_folder()).clear()
    print_line(f"Deleted: {usage_text(usage)}.")
    home = data_home()
    if downloads and home is not None:
        print_line(f"Deleted: {downloads_text(*clear_downloads(home))}.")
