"""The words under which the search finds each page first, beside those of its title.

The search of Sphinx counts in which headings a word occurs, and sorts pages that tie by name.
Entries of the index come before them: these words are such entries.
"""

from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform

WORDS = {
    "index": "install, installation, pip",
    "tutorial": "tutorial, getting started, quickstart, first steps, dataframe, pandas",
    "datasets": "csv, tags, arff, mulan, meka, svmlight, load data, data sets",
    "report": "report, html report",
    "explanations": "feature importance, permutation importance, explain, shap, "
    "partial dependence, interpretability",
    "decoders": "threshold, thresholds, per-label threshold, per-label thresholds, "
    "decision threshold, threshold tuning, decoder",
    "probabilities": "probability, predict_proba",
    "calibration": "calibration, calibrated probabilities, platt scaling, temperature",
    "decoded": "random forest, any classifier, catboost, xgboost, extra trees",
    "losses": "loss, losses, loss function, loss functions",
    "losses_cross_entropy": "cross entropy, cross-entropy, bce, logit adjustment, long tail",
    "losses_focal": "focal loss, asymmetric loss, hill loss",
    "losses_softmax": "softmax",
    "losses_sets": "ranking loss, zlpr",
    "losses_measures": "f1 loss, soft f1, dice, tversky",
    "losses_own": "custom loss, training loop",
    "decoders_own": "custom decoder",
    "networks_own": "custom network, architecture",
    "choosing": "which loss, for_metric, recommendation, no learning",
    "selection": "model selection, cross-validation, grid search, hyperparameters, "
    "significance test",
    "metrics": "metric, metrics, f1, macro f1, hamming loss, auc, scorer",
    "splitting": "stratified split, multi-label stratified split, stratification, "
    "train test split, iterative stratification, groups",
    "imbalance": "imbalance, class imbalance, class weight, class weights, sample weight, "
    "rare labels, pos_weight",
    "missing_labels": "missing labels, partial labels, nan in y, label noise, soft labels",
    "encoding": "missing values, nan, imputer, categories, categorical, one-hot, scaler, "
    "preprocessing, encoding",
    "large_data": "sparse, large data, big data, memory, memmap, partial_fit, out of core, "
    "parquet, extreme classification, parallel, n_jobs, dask, joblib, cluster, distributed",
    "spark": "spark, pyspark",
    "ray": "ray",
    "ensembles": "ensemble, ensembles, early stopping, out-of-fold",
    "gpu": "gpu, cuda",
    "saving": "save, load, save model, load model, pickle, persistence, model card",
    "onnx": "onnx, export",
    "deployment": "deployment, serving, http, docker, rest api",
    "quality": "performance, comparison, benchmark results",
    "speed": "speed, training time, latency",
}


class AddWords(SphinxTransform):
    """Makes the words of a page entries of the index."""

    default_priority = 500  # before Sphinx collects the entries

    def apply(self, **kwargs):
        """Add them to the document."""
        if words := WORDS.get(self.env.docname):
            entries = [("single", word, "", "main", None) for word in words.split(", ")]
            self.document.insert(0, addnodes.index(entries=entries))


def setup(app):
    """Register the words with Sphinx."""
    gone = [page for page in WORDS if not (app.srcdir / f"{page}.md").exists()]
    if gone:
        raise ExtensionError(
            f"search_words.py has words for pages that do not exist: {gone}"
        )
    app.add_transform(AddWords)
    return {"parallel_read_safe": True}
