"""A detector of drawn shapes: one box, one class and one score for each cell of a grid."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import optax
from jax import lax, random

SIZE, GRID, MOST, CLASSES = 24, 6, 3, 3  # pixels, cells, shapes in an image, kinds of shapes
CELL = SIZE / GRID


def draw(key):
    """An image with one to three shapes, and where they are: boxes, classes and a mask.

    A box is its centre and its size, in pixels. Squares, discs and crosses are the classes.
    """
    count, place, size, kind, noise = random.split(key, 5)
    mask = jnp.arange(MOST) < random.randint(count, (), 1, MOST + 1)
    sizes = random.uniform(size, (MOST, 1), minval=5.0, maxval=9.0)
    centres = random.uniform(place, (MOST, 2), minval=5.0, maxval=SIZE - 5.0)
    classes = random.randint(kind, (MOST,), 0, CLASSES)
    rows, columns = jnp.mgrid[:SIZE, :SIZE] + 0.5
    y = (rows[None] - centres[:, 1, None, None]) / (sizes[:, :, None] / 2)
    x = (columns[None] - centres[:, 0, None, None]) / (sizes[:, :, None] / 2)
    square = (jnp.abs(x) < 1) & (jnp.abs(y) < 1)
    disc = x**2 + y**2 < 1
    cross = square & ((jnp.abs(x) < 0.35) | (jnp.abs(y) < 0.35))
    pixels = jnp.stack([square, disc, cross], 1)[jnp.arange(MOST), classes]
    image = (pixels & mask[:, None, None]).any(0) + 0.1 * random.normal(noise, (SIZE, SIZE))
    boxes = jnp.concatenate([centres, sizes, sizes], -1)
    return image[..., None], {"boxes": boxes, "classes": classes, "mask": mask}


def overlap(one, other):
    """Intersection over union of two boxes."""
    low = jnp.maximum(one[:2] - one[2:] / 2, other[:2] - other[2:] / 2)
    high = jnp.minimum(one[:2] + one[2:] / 2, other[:2] + other[2:] / 2)
    shared = jnp.prod(jnp.maximum(high - low, 0))
    return shared / (jnp.prod(one[2:]) + jnp.prod(other[2:]) - shared)


class Task:
    """Trains on images that it draws, and reports the mean average precision on others."""

    steps = 40
    metrics = {"precision": "maximize", "loss": "minimize"}
    knobs = {"learning_rate": 0.003, "box_weight": 1.0, "focus": 1.0}

    def __init__(self, filters: int = 16, images: int = 16):
        self.filters, self.images = filters, images

    def init(self, knobs, key):
        widths = (1, self.filters, self.filters, self.filters)
        keys = random.split(key, 4)
        layers = [
            random.normal(keys[i], (3, 3, before, after)) * (2 / (9 * before)) ** 0.5
            for i, (before, after) in enumerate(pairwise(widths))
        ]
        head = random.normal(keys[3], (self.filters, 5 + CLASSES)) / self.filters**0.5
        weights = {"layers": layers, "head": head, "bias": jnp.zeros(5 + CLASSES)}
        return {"weights": weights, "adam": optax.scale_by_adam().init(weights)}

    def step(self, state, knobs, key, batch):
        images, targets = jax.vmap(draw)(random.split(key, self.images))
        gradient = jax.grad(self.loss)(state["weights"], knobs, images, targets)
        updates, adam = optax.scale_by_adam().update(gradient, state["adam"])
        rate = knobs["learning_rate"]
        weights = jax.tree.map(lambda w, u: w - rate * u, state["weights"], updates)
        return {"weights": weights, "adam": adam}

    def evaluate(self, state, knobs, key):
        images, targets = jax.vmap(draw)(random.split(random.key(0), 64))
        found = jax.vmap(self.detect, (None, 0))(state["weights"], images)
        return {
            "precision": mean_average_precision(found, targets),
            "loss": self.loss(state["weights"], knobs, images, targets),
        }

    def look(self, weights, images):
        """The numbers of each cell: a logit of a shape, its box, and logits of the classes."""
        x = images
        for index, kernel in enumerate(weights["layers"]):
            stride = (1, 1) if index == 2 else (2, 2)
            x = lax.conv_general_dilated(
                x, kernel, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x)
        return x @ weights["head"] + weights["bias"]

    def loss(self, weights, knobs, images, targets):
        found = self.look(weights, images)
        boxes, mask = targets["boxes"], targets["mask"]
        at = jnp.clip(boxes[..., :2] // CELL, 0, GRID - 1).astype(int)  # the cell of each centre
        rows = jnp.arange(len(images))[:, None]
        own = found[rows, at[..., 1], at[..., 0]]
        inside = boxes[..., :2] / CELL - at - 0.5
        wanted = jnp.concatenate([inside, jnp.log(boxes[..., 2:] / CELL)], -1)
        of_boxes = jnp.square(own[..., 1:5] - wanted).sum(-1)
        of_classes = optax.softmax_cross_entropy_with_integer_labels(
            own[..., 5:], targets["classes"]
        )
        is_there = jnp.zeros(found.shape[:3]).at[rows, at[..., 1], at[..., 0]].max(mask)
        # Cells that are known well count less (Lin et al. 2017). At 0 the power has no gradient.
        of_scores = optax.sigmoid_binary_cross_entropy(found[..., 0], is_there)
        of_scores *= (1 - jnp.exp(-of_scores - 1e-6)) ** knobs["focus"]
        of_shapes = jnp.where(mask, knobs["box_weight"] * of_boxes + of_classes, 0).sum()
        return (of_shapes + of_scores.sum()) / mask.sum()

    def detect(self, weights, image):
        """The box, the class and the score of each cell of an image."""
        found = self.look(weights, image[None])[0]
        rows, columns = jnp.mgrid[:GRID, :GRID]
        centres = (jnp.stack([columns, rows], -1) + 0.5 + found[..., 1:3]) * CELL
        boxes = jnp.concatenate([centres, jnp.exp(found[..., 3:5]) * CELL], -1)
        score = jax.nn.sigmoid(found[..., 0]) * jax.nn.softmax(found[..., 5:]).max(-1)
        classes = found[..., 5:].argmax(-1)
        return boxes.reshape(-1, 4), classes.reshape(-1), score.reshape(-1)


def hits(found, targets):
    """Which boxes of an image hit a shape that no box of a higher score has hit."""
    boxes, classes, scores = found
    order = jnp.argsort(-scores)
    near = jax.vmap(lambda box: jax.vmap(lambda other: overlap(box, other))(targets["boxes"]))(
        boxes
    )
    fits = (near > 0.5) & (classes[:, None] == targets["classes"]) & targets["mask"]

    def take(free, index):
        best = jnp.where(fits[index] & free, near[index], 0).argmax()
        is_hit = fits[index, best] & free[best]
        return free.at[best].set(free[best] & ~is_hit), is_hit

    _, taken = lax.scan(take, jnp.ones(MOST, bool), order)
    return jnp.zeros(len(scores), bool).at[order].set(taken)


def mean_average_precision(found, targets):
    """The area below precision over recall at an overlap of 0.5, the mean over the classes."""
    hit = jax.vmap(hits)(found, targets).ravel()
    classes, scores = found[1].ravel(), found[2].ravel()
    order = jnp.argsort(-scores)

    def area(kind):
        is_kind = classes[order] == kind
        right = jnp.cumsum(hit[order] & is_kind)
        precision = right / jnp.maximum(jnp.cumsum(is_kind), 1)
        # At each recall the best precision at that recall or above.
        best = lax.cummax(precision, reverse=True)
        total = ((targets["classes"] == kind) & targets["mask"]).sum()
        return jnp.where(hit[order] & is_kind, best, 0).sum() / jnp.maximum(total, 1)

    return jax.vmap(area)(jnp.arange(CLASSES)).mean()
