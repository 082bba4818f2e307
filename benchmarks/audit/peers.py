"""cleanlab's scores of probabilities that the benchmark wrote, as JSON. It runs in an environment of its own."""

import json
import sys

import numpy as np
from cleanlab.rank import get_label_quality_scores  # type: ignore[import-not-found]

METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def main() -> None:
    found: dict[str, list[list[float]]] = {}
    with np.load(sys.argv[1]) as arrays:
        for number in range(len(arrays.files) // 2):
            labels, probabilities = arrays[f"l{number}"], arrays[f"p{number}"]
            probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
            for method in METHODS:
                for adjusted in (False, True):
                    if adjusted and method == "confidence_weighted_entropy":
                        continue
                    scores = get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=adjusted)
                    name = f"{method}, adjusted" if adjusted else method
                    found.setdefault(name, []).append(scores.tolist())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
