"""
DataFrames with categories and missing values
=============================================

Columns of category dtype are one-hot encoded, and missing numbers are replaced by a typical value
with a missing indicator. No preprocessing is needed. We use a real data set first, then a simulated
one that shows the benefit.
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
# 1066 regions of the sun, with the flares in the following 24 hours, as provided by the package
# river. Three columns are letters, others are codes or ordered levels.
rows = list(SolarFlare())
X = pd.DataFrame([columns for columns, _ in rows])
flares = pd.DataFrame([counts for _, counts in rows])
Y = pd.DataFrame(
    {
        "C flare": flares["c-class-flares"] > 0,
        "two or more C": flares["c-class-flares"] > 1,
        "M or X flare": flares["m-class-flares"] + flares["x-class-flares"] > 0,
    }
).astype(int)
letters = ["zurich-class", "largest-spot-size", "spot-distribution"]
X[letters] = X[letters].astype("category")
print(X.dtypes.to_string())
print(Y.sum().to_string())

# %%
# Categorical columns are detected by their dtype.
net = MultiLabelNetClassifier(learning_rate=3e-3, cv=3, random_state=0)
folds = MultilabelStratifiedKFold(3 if SMALL else 5, random_state=0)
proba = cross_val_predict(net, X, Y, cv=folds, method="predict_proba")

# %%
# Mean predicted probability on held-out regions by their Zurich class (from B, small groups of
# spots, to F, the largest; H is a remnant of such groups), next to the observed frequency with its
# standard error.
by_class = X["zurich-class"]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
for axis, label, p in zip(axes, Y, proba.T, strict=True):
    groups = Y[label].groupby(by_class, observed=True)
    observed, n = groups.mean(), groups.size()
    error = np.sqrt(observed * (1 - observed) / n)
    predicted = pd.Series(p).groupby(by_class, observed=True).mean()
    axis.bar(observed.index, observed, yerr=error, color="#56B4E9", ecolor="0.4", label="observed")
    axis.plot(predicted.index, predicted, "D", color="#D55E00", label="predicted")
    title = f"{label} ({Y[label].sum()} of {len(Y)})"
    axis.set(title=title, xlabel="Zurich class", ylim=(0, None))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("frequency")
axes[0].legend(frameon=False, loc="upper left")
plt.show()

# %%
# Customers
# ---------
#
# Which of four products do customers buy? Each city has its own preferences, the plan determines
# whether age has a positive or a negative effect, and income has a positive effect. Half of the
# customers with a high income do not report it, and a tenth of the others: missing values are
# informative.
CITIES = 40
world = np.random.default_rng(0)
TASTE = world.normal(scale=1.2, size=(CITIES, 4))
BY_PLAN = world.normal(size=(3, 4))
BY_INCOME = world.uniform(0.5, 1.5, size=4)


def customers(n_rows, seed):
    """Return a DataFrame with customers, and the products that they bought."""
    random = np.random.default_rng(seed)
    city, plan = random.integers(CITIES, size=n_rows), random.integers(3, size=n_rows)
    age, income = random.normal(size=(2, n_rows))
    logits = TASTE[city] + BY_PLAN[plan] * age[:, None] + BY_INCOME * income[:, None] - 1
    Y = (random.random(logits.shape) < expit(logits)).astype(int)
    reported = random.random(n_rows) > np.where(income > 0.5, 0.5, 0.1)
    X = pd.DataFrame(
        {
            "city": pd.Categorical.from_codes(city, [f"city {c}" for c in range(CITIES)]),
            "plan": pd.Categorical.from_codes(plan, ["basic", "family", "travel"]),
            "age": 40 + 12 * age,
            "income": np.where(reported, np.exp(10 + 0.5 * income), np.nan),
        }
    )
    return X, Y


print(customers(5, seed=0)[0])

# %%
# The raw data are compared with common preprocessing, and with gradient boosting, which supports
# categories and missing values as well.


def unchanged(X):
    """Return the unchanged data."""
    return X


def integer_codes(X):
    """Return the data with integer codes instead of categories."""
    return X.assign(city=X["city"].cat.codes, plan=X["plan"].cat.codes)


def imputed(X):
    """Return the data with a typical income instead of missing values."""
    return X.fillna({"income": np.exp(10)})


net = MultiLabelNetClassifier(learning_rate=3e-3, random_state=0)
trees = HistGradientBoostingClassifier(max_iter=30, random_state=0)
boosting = MultiOutputClassifier(trees)
variants = {
    "raw data": (net, unchanged),
    "constant imputation": (net, imputed),
    "integer codes": (net, integer_codes),
    "raw data, gradient boosting": (boosting, unchanged),
}
sizes = [300, 1000] if SMALL else [300, 1000, 3000, 10_000]
n_repeats = 1 if SMALL else 3
X_test, Y_test = customers(5_000, seed=100)
losses = np.empty((len(variants), len(sizes), n_repeats))
for j, size in enumerate(sizes):
    for repeat in range(n_repeats):
        X, Y = customers(size, seed=repeat)
        for i, (model, prepare) in enumerate(variants.values()):
            proba = model.fit(prepare(X), Y).predict_proba(prepare(X_test))
            if model is boosting:
                proba = np.column_stack([p[:, 1] for p in proba])
            losses[i, j, repeat] = multilabel_log_loss(Y_test, proba)

# %%
# Integer codes for cities cost most, because neighbouring codes have nothing in common. Imputing a
# constant costs little. (Bands range from the lowest to the highest of the repeats; neither model
# is tuned.)
figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, values, colour, marker in zip(
    variants, losses, ["#0072B2", "#56B4E9", "#D55E00", "#009E73"], "osD^", strict=True
):
    axis.plot(sizes, values.mean(axis=1), color=colour, marker=marker, label=name)
    axis.fill_between(sizes, values.min(axis=1), values.max(axis=1), color=colour, alpha=0.2, lw=0)
axis.set(xscale="log", xlabel="training rows", ylabel="log loss on test rows")
axis.set_xticks(sizes, sizes)
axis.minorticks_off()
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
print(pd.DataFrame(losses.mean(axis=2), list(variants), sizes).round(3))
