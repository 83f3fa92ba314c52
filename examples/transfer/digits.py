# digits.py
from sklearn.datasets import load_digits


def some(first: int, last: int, rows: int):
    """Images `[n, 8, 8, 1]` of the digits `first` to `last`: `rows` for training, then others."""
    digits = load_digits()
    chosen = (digits.target >= first) & (digits.target <= last)
    x, y = digits.images[chosen][..., None], digits.target[chosen]
    return {"train": {"x": x[:rows], "y": y[:rows]}, "validation": {"x": x[rows:], "y": y[rows:]}}
