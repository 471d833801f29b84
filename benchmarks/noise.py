"""Check that the corrected score of a search is unbiased, on labels that cannot be predicted.

The labels of each small data set are independent of its features, so the true ROC AUC of any model
is 1/2, and a higher score of a search is selection bias. Prints the mean over data sets, with its
standard error, of the score of the best candidate and of two corrections, from the same bootstrap
samples of the rows:

- "paper": Tsamardinos et al. (2018), the mean out-of-sample score of the candidate that is the best
  on the sample;
- "lead": the best score minus the mean out-of-sample lead of the best candidate over the candidate
  that is the best on the sample.

    OMP_NUM_THREADS=1 python benchmarks/noise.py

Fixed before the first run: seeds 1000 to 1059; a correction is unbiased if its mean is within two
standard errors of 1/2; if both are, or neither is, the published one is used, because it can be
cited. Both were, and `best_score_corrected_` uses the published one. For the results, see
docs/selection.md.
"""

import argparse
import time
import warnings

import numpy as np

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.model_selection.comparison import draw_bootstraps

LOSSES = ["bce", "brier", "abs_kl", "zlpr", "softmax_ce", "tversky"]
DECODERS = ["threshold", "global_threshold"]  # do not change ROC AUC
N_ROWS, N_FEATURES, N_LABELS, N_BOOTSTRAPS = 150, 10, 3, 200


def mean_auc(Y, scores, weights):
    """Return the macro-averaged ROC AUC under each row of weights; ties count half."""
    areas = np.empty((len(weights), Y.shape[1]))
    for label in range(Y.shape[1]):
        positive = Y[:, label] == 1
        gaps = scores[positive, label, None] - scores[~positive, label]
        above = (gaps > 0) + (gaps == 0) / 2
        of_positives, of_negatives = weights[:, positive], weights[:, ~positive]
        total = of_positives.sum(1) * of_negatives.sum(1)
        areas[:, label] = ((of_positives @ above) * of_negatives).sum(1) / total
    return areas.mean(axis=1)


def search_noise(seed):
    """Return the best score of a search, its corrected score, and both corrections."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_ROWS, N_FEATURES))
    Y = (rng.random((N_ROWS, N_LABELS)) < 0.4).astype(int)
    net = MultiLabelNetClassifier(hidden_layer_sizes=(8,), learning_rate=0.01, max_epochs=10)
    search = LossDecoderSearchCV(
        net, LOSSES, DECODERS, scoring="roc_auc", refit=True, store_cv_results=True,
        random_state=seed,
    ).fit(X, Y)  # fmt: skip
    drawn = draw_bootstraps(N_ROWS, N_BOOTSTRAPS, seed).astype(float)
    in_bag, out = (
        np.array([mean_auc(Y, scores, weights) for scores in search.oof_scores_])
        for weights in (drawn, (drawn == 0).astype(float))
    )
    whole = [mean_auc(Y, scores, np.ones((1, N_ROWS)))[0] for scores in search.oof_scores_]
    paper = out[in_bag.argmax(axis=0), np.arange(N_BOOTSTRAPS)]
    lead = max(0.0, (out[np.argmax(whole)] - paper).mean())
    return search.best_score_, search.best_score_corrected_, paper.mean(), search.best_score_ - lead


def main():
    """Print the scores of searches on noise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=60, help="number of data sets")
    parser.add_argument("--first", type=int, default=1000, help="the first seed")
    options = parser.parse_args()
    start, results = time.perf_counter(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten epochs are too few, which does not matter here
        for seed in range(options.first, options.first + options.seeds):
            results.append(search_noise(seed))
    mean = np.mean(results, axis=0)
    error = np.std(results, axis=0, ddof=1) / np.sqrt(len(results))
    print(
        f"{len(LOSSES)} losses x {len(DECODERS)} decoders on {N_ROWS} rows x {N_LABELS} labels, "
        f"seeds {options.first} to {options.first + options.seeds - 1}, true ROC AUC 0.5"
    )
    names = ("best_score_", "best_score_corrected_", "paper", "lead")
    for name, value, spread in zip(names, mean, error, strict=True):
        print(f"{name:<22} {value:.4f} +- {spread:.4f}  ({(value - 0.5) / spread:+.1f} s.e.)")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
