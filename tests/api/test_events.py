"""Events as values, and on their way between processes."""

import json

import pytest

from hpo.api.events import (
    Best,
    Ended,
    Finished,
    Proposed,
    Reported,
    Said,
    Started,
    from_document,
    to_document,
)

EVENTS = [
    Started("digits", "accuracy", trials=30, epochs=27, known=0),
    Proposed(3, {"model.widths": [64, 64], "optimizer.learning_rate": 0.1}),
    Reported(3, 1, {"accuracy": 0.5, "loss": float("inf")}),
    Ended(3, "pruned", epochs=3, value=0.7),
    Ended(4, "infeasible", epochs=0, value=None),
    Best(3, 0.9, {"model.dropout": 0.0}),
    Said("Resuming: 3 of 30 trials started."),
    Finished("digits", "timeout", trials=30, epochs=200),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_an_event_comes_through_json_as_it_was(event):
    assert from_document(json.loads(json.dumps(to_document(event)))) == event


def test_the_kind_of_an_event_is_the_first_of_its_plain_values():
    document = to_document(Said("Hello."))
    assert list(document.items()) == [("kind", "said"), ("text", "Hello.")]
