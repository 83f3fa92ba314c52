"""A spec that trains in no time."""

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
  trials: 3
"""
