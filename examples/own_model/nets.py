# nets.py
from flax import nnx


class Net(nnx.Module):
    """Two convolutions, batch norm and dropout."""

    def __init__(
        self, in_channels, outputs, filters: int = 16, rate: float = 0.2, gain: float = 2.0, *, rngs
    ):
        init = nnx.initializers.variance_scaling(gain, "fan_in", "normal")
        self.first = nnx.Conv(in_channels, filters, (3, 3), kernel_init=init, rngs=rngs)
        self.norm = nnx.BatchNorm(filters, rngs=rngs)
        self.second = nnx.Conv(filters, filters, (3, 3), strides=2, kernel_init=init, rngs=rngs)
        self.drop = nnx.Dropout(rate, rngs=rngs)
        self.head = nnx.Linear(filters, outputs, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.first(x)))
        x = nnx.relu(self.second(x)).mean((1, 2))
        return self.head(self.drop(x))
