"""
Quickstart
==========

Train a network with the focal loss, look at its probabilities, and change the decision of the
fitted model without training again.
"""

from sklearn.metrics import f1_score, hamming_loss

from sklearn_mlloss import MultiLabelNetClassifier
from sklearn_mlloss.datasets import load_yeast

# %%
# 2417 genes with 103 numbers each; a gene has several of 14 functions. The official split.
X_train, Y_train = load_yeast(subset="train", return_X_y=True)
X_test, Y_test = load_yeast(subset="test", return_X_y=True)

# %%
# The loss trains the network, and brings its own link to probabilities: with the focal loss, the
# plain sigmoid of the outputs would be far too close to 1/2.
model = MultiLabelNetClassifier("focal", random_state=0).fit(X_train, Y_train)
print("encoding of the inputs:", model.encoding_, "since", model.encoding_reason_)

proba = model.predict_proba(X_test)
print("mean probability of the first labels:", proba.mean(axis=0)[:4].round(2))
print("frequency of the first labels:       ", Y_test.mean(axis=0)[:4].round(2))


# %%
# A probability of 1/2 is the right threshold for the Hamming loss. For an F-measure it is not:
# decide again, on the same fitted network, with thresholds learned from rows it has not seen.
def report(name, Y_hat):
    """Print two measures that ask for different decisions."""
    f1 = f1_score(Y_test, Y_hat, average="macro", zero_division=0)
    print(f"{name:<22} Hamming loss {hamming_loss(Y_test, Y_hat):.3f}   macro-F1 {f1:.3f}")


report("threshold 1/2", model.predict(X_test))

# %%
# Half of the test rows serve as new labelled data here; the other half would measure honestly.
model.fit_decoder(X_test[:450], Y_test[:450], decoder="per_label_threshold")
Y_hat = model.predict(X_test[450:])
f1 = f1_score(Y_test[450:], Y_hat, average="macro", zero_division=0)
print(f"thresholds a label, on the other half of the test rows: macro-F1 {f1:.3f}")
