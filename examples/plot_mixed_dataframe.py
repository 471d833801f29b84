"""
A DataFrame with categories and gaps
====================================

Columns of category dtype become inputs of 0 and 1, and a missing number becomes a typical one with
a flag. Nothing has to be encoded or filled in beforehand. First a real table, then a simulated one
that shows what it is good for.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from river.datasets import SolarFlare
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.multioutput import MultiOutputClassifier

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.metrics import multilabel_log_loss
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# Solar flares
# ------------
#
# 1066 regions of the sun, with the flares of the 24 hours that followed, as the package river has
# them. Three columns are letters, others are codes or ordered levels.
rows = list(SolarFlare())
X = pd.DataFrame([columns for columns, _ in rows])
flares = pd.DataFrame([counts for _, counts in rows])
Y = pd.DataFrame(
    {
        "a C flare": flares["c-class-flares"] > 0,
        "two or more C": flares["c-class-flares"] > 1,
        "an M or X flare": flares["m-class-flares"] + flares["x-class-flares"] > 0,
    }
).astype(int)
letters = ["zurich-class", "largest-spot-size", "spot-distribution"]
X[letters] = X[letters].astype("category")
print(X.dtypes.to_string())
print(Y.sum().to_string())

# %%
# All that is left is to fit: the dtype says what is a category.
net = MultiLabelNetClassifier(learning_rate=3e-3, cv=3, random_state=0)
folds = MultilabelStratifiedKFold(3 if SMALL else 5, random_state=0)
proba = cross_val_predict(net, X, Y, cv=folds, method="predict_proba")

# %%
# Mean probability of regions that the network has not seen, by their Zurich class (from B, small
# groups of spots, to F, the largest; H is what is left of them), beside the share that was observed
# with its standard error.
by_class = X["zurich-class"]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
for axis, label, p in zip(axes, Y, proba.T, strict=True):
    groups = Y[label].groupby(by_class, observed=True)
    observed, n = groups.mean(), groups.size()
    error = np.sqrt(observed * (1 - observed) / n)
    predicted = pd.Series(p).groupby(by_class, observed=True).mean()
    axis.bar(observed.index, observed, yerr=error, color="#56B4E9", ecolor="0.4", label="observed")
    axis.plot(predicted.index, predicted, "D", color="#D55E00", label="predicted")
    axis.set(title=f"{label} ({Y[label].sum()} of {len(Y)})", xlabel="Zurich class", ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share of the regions")
axes[0].legend(frameon=False, loc="upper left")
plt.show()

# %%
# Customers
# ---------
#
# What do people buy, of four products? Each city has tastes of its own, the plan decides whether
# age counts up or down, and income counts up. Half of those with a high income do not give it, and
# a tenth of the others: the gap says something.
CITIES = 40
world = np.random.default_rng(0)
TASTE = world.normal(scale=1.2, size=(CITIES, 4))
BY_PLAN = world.normal(size=(3, 4))
BY_INCOME = world.uniform(0.5, 1.5, size=4)


def customers(n_rows, seed):
    """Return a DataFrame and what was bought."""
    random = np.random.default_rng(seed)
    city, plan = random.integers(CITIES, size=n_rows), random.integers(3, size=n_rows)
    age, income = random.normal(size=(2, n_rows))
    logits = TASTE[city] + BY_PLAN[plan] * age[:, None] + BY_INCOME * income[:, None] - 1
    Y = (random.random(logits.shape) < expit(logits)).astype(int)
    given = random.random(n_rows) > np.where(income > 0.5, 0.5, 0.1)
    X = pd.DataFrame(
        {
            "city": pd.Categorical.from_codes(city, [f"city {c}" for c in range(CITIES)]),
            "plan": pd.Categorical.from_codes(plan, ["basic", "family", "travel"]),
            "age": 40 + 12 * age,
            "income": np.where(given, np.exp(10 + 0.5 * income), np.nan),
        }
    )
    return X, Y


print(customers(5, seed=0)[0])

# %%
# The table as it is, against what is often done with it beforehand, and against gradient boosting,
# which takes categories and gaps as well.


def as_it_is(X):
    """Return the table."""
    return X


def codes(X):
    """Return the table with numbers in place of categories."""
    return X.assign(city=X["city"].cat.codes, plan=X["plan"].cat.codes)


def filled(X):
    """Return the table with a typical income in place of what is missing."""
    return X.fillna({"income": np.exp(10)})


net = MultiLabelNetClassifier(learning_rate=3e-3, random_state=0)
boosting = MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=30, random_state=0))
ways = {
    "as it is": (net, as_it_is),
    "gaps filled with one number": (net, filled),
    "categories as numbers": (net, codes),
    "as it is, gradient boosting": (boosting, as_it_is),
}
sizes = [300, 1000] if SMALL else [300, 1000, 3000, 10_000]
n_repeats = 1 if SMALL else 3
X_test, Y_test = customers(5_000, seed=100)
losses = np.empty((len(ways), len(sizes), n_repeats))
for j, size in enumerate(sizes):
    for repeat in range(n_repeats):
        X, Y = customers(size, seed=repeat)
        for i, (model, prepare) in enumerate(ways.values()):
            proba = model.fit(prepare(X), Y).predict_proba(prepare(X_test))
            if model is boosting:
                proba = np.column_stack([p[:, 1] for p in proba])
            losses[i, j, repeat] = multilabel_log_loss(Y_test, proba)

# %%
# Cities as numbers cost most, since neighbouring numbers have nothing in common. Gaps that are
# filled with the same number every time cost little. (Bands are the lowest and the highest of the
# repeats; neither model is tuned.)
figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, values, colour, marker in zip(
    ways, losses, ["#0072B2", "#56B4E9", "#D55E00", "#009E73"], "osD^", strict=True
):
    axis.plot(sizes, values.mean(axis=1), color=colour, marker=marker, label=name)
    axis.fill_between(sizes, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.2, lw=0)
axis.set(xscale="log", xlabel="training rows", ylabel="log loss on test rows")
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
print(pd.DataFrame(losses.mean(axis=2), list(ways), sizes).round(3))
