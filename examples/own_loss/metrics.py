# metrics.py
from sklearn.metrics import top_k_accuracy_score


def top3(predictions, y):
    """How often the class is among the three that the model finds most likely."""
    return top_k_accuracy_score(y, predictions, k=3)
