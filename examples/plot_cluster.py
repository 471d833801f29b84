"""
Distributed search with Dask
============================

``LossDecoderSearchCV`` runs its trainings through joblib, and joblib on a Dask cluster: each loss
and fold is one task. Here, the cluster has two workers on this machine. With the address of a
scheduler instead of ``LocalCluster``, it may have many. The figure shows the trainings of each
worker over time.
"""

import logging
import os
import time
from importlib.util import find_spec

import joblib
import matplotlib.pyplot as plt
import numpy as np

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import LossComparisonDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"
HAS_DASK = find_spec("distributed") is not None
if not HAS_DASK:
    print('This example needs Dask: pip install "sklearn_mlloss[distributed]"')
# A script that starts processes needs a guard, because each of them imports it.
RUN = HAS_DASK and __name__ == "__main__"

# %%
# For the figure, a subclass records each training in the log of the cluster. Otherwise, pass a
# ``MultiLabelNetClassifier`` to the search.


class LoggedClassifier(MultiLabelNetClassifier):
    """Record each training."""

    def fit(self, X, y, sample_weight=None):
        """Fit, and record the loss, the worker, the start and the end."""
        from distributed import get_worker

        start = time.time()
        super().fit(X, y, sample_weight)
        worker = get_worker()
        worker.log_event("trained", (str(self.loss), worker.name, start, time.time()))
        return self


# %%
# Within ``parallel_config``, ``fit`` runs on the cluster.
X, Y = load_yeast(subset="train", return_X_y=True)
if SMALL:
    X, Y = X[::3], Y[::3]
network = {"hidden_layer_sizes": (64,), "learning_rate": 3e-3}
search = LossDecoderSearchCV(
    LoggedClassifier(**network),
    losses=["bce", "zlpr"] if SMALL else ["bce", "focal", "brier", "zlpr", "softmax_ce"],
    decoders=["threshold", "global_threshold", "per_label_threshold", "expected_fbeta"],
    scoring="f1_macro",
    cv=2 if SMALL else 5,
    refit=False,
    random_state=0,
)
if RUN:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
        ) as cluster,
        Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        search.fit(X, Y)
        events = [event for _, event in client.get_events("trained")]
    print(search.summary())

# %%
# Left: each bar is one training, so there is one bar per loss and fold. Whenever a worker is free,
# it starts the next training. Right: the results of the search.
if RUN:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(13, 4), layout="constrained", width_ratios=[1.5, 1]
    )
    names = list(dict.fromkeys(loss for loss, *_ in events))
    colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"]
    first = min(start for _, _, start, _ in events)
    for loss, worker, start, end in events:
        bar = left.barh(
            f"worker {worker}",
            end - start,
            left=start - first,
            color=colours[names.index(loss)],
            edgecolor="white",
        )
        bar.set_label(f"_{loss}")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in colours]
    left.legend(
        handles[: len(names)], names, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=5,
        frameon=False,
    )  # fmt: skip
    left.set(title="trainings per worker", xlabel="seconds")
    left.spines[["top", "right"]].set_visible(False)
    LossComparisonDisplay.from_search(search, ax=right)
    plt.show()

# %%
# The scores do not depend on where a network is trained: the same search in this process gives the
# same scores.
if RUN:
    on_cluster = search.cv_results_["mean_test_score"]
    search.set_params(estimator=MultiLabelNetClassifier(**network)).fit(X, Y)
    print("equal scores:", np.array_equal(on_cluster, search.cv_results_["mean_test_score"]))
