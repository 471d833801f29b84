"""
How was each loss trained?
==========================

The training and the validation loss of every fold of a search over the epochs, with the epochs
that early stopping went back to. Each loss has a scale of its own, so that heights say nothing of
one loss against another. Shapes do: which losses overfit early, and which would go on falling.
"""

import os

import matplotlib.pyplot as plt

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import TrainingCurveDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# A third of the training rows, and a decoder that learns nothing: seconds.
X, Y = load_yeast(subset="train", return_X_y=True)
X, Y = X[::3], Y[::3]
net = MultiLabelNetClassifier(hidden_layer_sizes=(32,) if SMALL else (256,))
search = LossDecoderSearchCV(
    net, decoders=["threshold"], cv=3 if SMALL else 5, refit=False, random_state=0
).fit(X, Y)

# %%
# Panels come with the loss of the best pair first.
TrainingCurveDisplay.from_search(search)
plt.show()

# %%
# The same numbers for plots of one's own: a history a setting and fold.
for fold, history in enumerate(search.histories_[0]):
    lowest = min(history["valid_loss"])
    print(f"bce, fold {fold}: {len(history['epoch'])} epochs, validation loss down to {lowest:.3f}")
