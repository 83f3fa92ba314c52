"""The commands of the command line, and a spec that trains in no time."""

import typer.main

from hpo.cli.app import app

FLOWERS = """\
name: flowers
data: {dataset: iris, batch_size: 16}
model: {name: mlp, widths: [8]}
optimizer: {name: adam, learning_rate: 0.01}
train: {epochs: 2}
space:
  optimizer.learning_rate: {float: [1.0e-3, 1.0e-1], log: true}
search:
  sampler: {name: random}
  scheduler: {name: none}
  objective: {maximize: accuracy}
  baselines: false
  trials: 3
"""


def commands(group=None, prefix=()):
    """Every command of the command line: its words, and its Typer object."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command
