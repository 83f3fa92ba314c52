"""The command that serves a trained model: `hpo serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from hpo.cli.models import TrainedFolder, TrustModel
from hpo.cli.options import Device, Quiet
from hpo.cli.output import print_line
from hpo.errors import HpoError


def serve(
    model: TrainedFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen at; by default no other machine reaches it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    rows: Annotated[int, typer.Option(help="Most rows of a request.", min=1)] = 10_000,
    seconds: Annotated[
        float,
        typer.Option(
            help="Time for a request to arrive and for the model to be free.", min=0.1, max=86_400
        ),
    ] = 10.0,
    device: Device = None,
    trust_code: TrustModel = False,
    quiet: Quiet = False,
) -> None:
    """Answer for rows over HTTP with MODEL, until it is stopped.

    Example: hpo serve model/ --port 8000
    """
    if not host:
        raise HpoError("--host '': is no address: give one, such as 127.0.0.1.")
    from hpo.trained.ensembles.ensemble import load_answering  # imports JAX
    from hpo.trained.serving.server import Server, curl_of, is_loopback, url_of
    from hpo.trained.serving.service import Service

    service = Service(load_answering(model, device, is_trusted=trust_code), rows, seconds)
    try:
        server = Server(service, host, port, seconds)
    except OSError as error:
        why = error.strerror or str(error)
        raise HpoError(f"--port {port}: cannot listen at {host} ({why}): give another.") from None

    def say(text: str) -> None:
        if not quiet:
            print_line(text, is_stderr=True)

    def begun() -> None:
        say(f"{model} answers at {url_of(server)}; Ctrl-C ends it.")
        say(f"try: {curl_of(server)}")
        if not is_loopback(host):
            say("Everybody who reaches this machine can ask: there is no password.")

    with server:
        server.serve_until_terminated(begun)
    say("Ended by SIGTERM: all requests that had come are answered.")
