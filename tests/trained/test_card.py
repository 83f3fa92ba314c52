"""The card of a trained model."""

from hpo.data.transforms.features import Features, NumberColumn
from hpo.trained.card import card_of
from hpo.trained.description import Description
from hpo.trained.save import Trained


def test_a_card_names_inputs_classes_and_metrics():
    features = Features((NumberColumn("age", "number"),), targets=("churn",))
    told = Description("classification", 2, ("no", "yes"), (1,), "float32", features)
    metrics = {"validation": {"loss": 0.25, "accuracy": 0.9}, "test": None}
    errors = {"validation": {"raw": 0.08, "tempered": 0.02}, "test": None}
    trained = Trained(metrics, (), 1.0, temperature=1.5, calibration=errors)
    assert card_of("people", told, trained, "ab" * 32).splitlines() == [
        "# people",
        "",
        "A model of hpo for classification.",
        "",
        "- Target: `churn`",
        "- Classes: `no`, `yes`",
        "- Columns that it needs: `age`",
        "- Trained on data with the hash abababababababab",
        "",
        "| split | loss | accuracy |",
        "|---|---|---|",
        "| validation | 0.25 | 0.9 |",
        "",
        "Chances have the temperature 1.5, fitted on validation.",
        "Calibration error on validation: 0.0800 without it, 0.0200 with it.",
        "",
        "Answer for new data: `hpo predict FOLDER new.csv -o answers.csv`",
    ]


def test_very_many_names_are_counted_and_arrays_have_their_shape():
    told = Description(
        "classification", 40, tuple(map(str, range(40))), (8, 8, 1), "float32", Features()
    )
    card = card_of("many", told, Trained({"validation": {"loss": float("nan")}}, (), 1.0), "")
    assert "`29` and 10 more" in card
    assert "- An example: float32 of the shape [8, 8, 1]" in card
