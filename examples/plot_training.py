"""
Training and validation curves
==============================

Training and validation loss of every fold of a search per epoch, with the epochs that early
stopping selected. Each loss has its own scale, so heights are not comparable between losses. Shapes
are: they show which losses overfit early, and which would decrease further.
"""

import os

import matplotlib.pyplot as plt

from sklearn_mlloss import LossDecoderSearchCV, MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast
from sklearn_mlloss.inspection import TrainingCurveDisplay

SMALL = os.environ.get("SKLEARN_MLLOSS_EXAMPLES_SMALL") == "1"

# %%
# Use a third of the training rows, and a decoder without fitting, so that the example takes
# seconds.
X, Y = load_yeast(subset="train", return_X_y=True)
X, Y = X[::3], Y[::3]
net = MultiLabelNetClassifier(hidden_layer_sizes=(32,) if SMALL else (256,))
search = LossDecoderSearchCV(
    net, decoders=["threshold"], cv=3 if SMALL else 5, refit=False, random_state=0
).fit(X, Y)

# %%
# The first panel is the loss of the best candidate.
TrainingCurveDisplay.from_search(search)
plt.show()

# %%
# The numbers for custom plots: one history per setting and fold.
for fold, history in enumerate(search.histories_[0]):
    lowest = min(history["valid_loss"])
    print(f"bce, fold {fold}: {len(history['epoch'])} epochs, validation loss down to {lowest:.3f}")
