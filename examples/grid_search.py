"""
Choosing a loss with GridSearchCV
=================================

Losses can be searched like any other parameter: by name, as objects, and with their own parameters.
"""

import pandas as pd
from sklearn.model_selection import GridSearchCV

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.losses import AsymmetricLoss, SoftmaxCrossEntropy
from sklearn_mlloss.model_selection import MultilabelStratifiedKFold

X, Y = load_yeast(subset="train", return_X_y=True)
model = MultiLabelNetClassifier(decoder="global_threshold", random_state=0)
folds = MultilabelStratifiedKFold(3, random_state=0)

# %%
# Losses by name and as objects. The decoder is the same for all, so the scores are comparable.
losses = [
    "bce",
    AsymmetricLoss(gamma_pos=1, gamma_neg=2, clip=0),
    SoftmaxCrossEntropy(concentration=1.0),
]
search = GridSearchCV(model, {"loss": losses}, scoring="f1_macro", cv=folds, n_jobs=2)
search.fit(X, Y)
columns = ["param_loss", "mean_test_score", "std_test_score"]
print(pd.DataFrame(search.cv_results_)[columns].round(3).to_string(index=False))

# %%
# To search over a parameter of a loss, combine the name of the loss and the parameter.
search = GridSearchCV(
    model,
    {"loss": ["focal"], "loss__gamma": [0, 2]},
    scoring="f1_macro",
    cv=folds,
    n_jobs=2,
)
search.fit(X, Y)
columns = ["param_loss__gamma", "mean_test_score", "std_test_score"]
print(pd.DataFrame(search.cv_results_)[columns].round(3).to_string(index=False))
