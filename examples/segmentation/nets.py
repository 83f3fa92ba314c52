# nets.py
import itertools

from flax import nnx


class Net(nnx.Module):
    """Convolutions that keep the size of the picture: `[rows, height, width, outputs]`."""

    def __init__(self, in_channels, outputs, filters: int = 8, depth: int = 2, *, rngs):
        sizes = [in_channels, *[filters] * depth]
        pairs = itertools.pairwise(sizes)
        self.convs = nnx.List([nnx.Conv(n, m, (3, 3), rngs=rngs) for n, m in pairs])
        self.head = nnx.Conv(sizes[-1], outputs, (1, 1), rngs=rngs)

    def __call__(self, x):
        for conv in self.convs:
            x = nnx.relu(conv(x))
        return self.head(x)
