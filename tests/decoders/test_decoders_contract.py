"""The contract of decoders: `check_decoder` for all of them, and further checks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_mlloss.decoders import (
    DECODERS,
    AtLeastOne,
    CardinalityCut,
    CostSensitiveThreshold,
    Decoder,
    ExpectedFBeta,
    FixedThreshold,
    GFMDecoder,
    GlobalThreshold,
    HierarchyClosure,
    PerLabelThreshold,
    RiskControl,
    TopK,
    get_decoder,
)
from sklearn_mlloss.testing import check_decoder

# Those that need parameters.
NEEDS_PARAMETERS = {"hierarchy": HierarchyClosure([-1, 0, 0, -1])}
VARIANTS = {
    **{name: NEEDS_PARAMETERS.get(name, cls()) for name, cls in DECODERS.items()},
    "threshold, one per label": FixedThreshold([0.2, 0.4, 0.6, 0.8]),
    "top_k, k": TopK(2),
    "per_label_threshold, no minimum": PerLabelThreshold(min_positives=0),
    "per_label_threshold, micro": PerLabelThreshold(average="micro", min_positives=5),
    "per_label_threshold, shrunk": PerLabelThreshold(min_positives=3, shrinkage=10),
    "global_threshold, macro": GlobalThreshold(average="macro"),
    "global_threshold, samples": GlobalThreshold("jaccard", average="samples"),
    "at_least_one, fitted": AtLeastOne(PerLabelThreshold(min_positives=3)),
    "global_threshold, fbeta": GlobalThreshold("fbeta", "samples", beta=2),
    "cost, one per label": CostSensitiveThreshold([1, 1, 2, 3], 2),
    "expected_fbeta, parameters": ExpectedFBeta(beta=0.5, empty=1),
    "gfm, parameters": GFMDecoder(beta=2, empty=1),
    "risk_control, alpha": RiskControl(alpha=0.3),
    "hierarchy, fitted": HierarchyClosure([-1, 0, 1, -1], "per_label_threshold"),
    "at_least_one, cardinality": AtLeastOne("cardinality"),
}
# These cannot be fitted on another number of labels than theirs, or are not symmetric in them.
LABEL_BOUND = {
    "threshold, one per label",
    "cost, one per label",
    "hierarchy",
    "hierarchy, fitted",
}


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


@pytest.fixture
def decoder(name):
    return clone(VARIANTS[name])


@pytest.fixture
def data():
    rng = np.random.default_rng(3)
    scores = rng.random((60, 4))  # no ties
    Y = 1.0 * (rng.random((60, 4)) < scores**2)
    return scores, Y


def fitted_values(decoder):
    """All fitted attributes, flat, to compare two fits."""
    values = {}
    for key, value in vars(decoder).items():
        if key.endswith("_"):
            if isinstance(value, Decoder):
                values |= {f"{key}.{k}": v for k, v in fitted_values(value).items()}
            else:
                values[key] = np.asarray(value)
    return values


def assert_same_fit(left, right):
    left, right = fitted_values(left), fitted_values(right)
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_allclose(left[key], right[key], rtol=1e-12, err_msg=key)


def test_variants_cover_the_registry():
    assert {type(decoder) for decoder in VARIANTS.values()} == set(DECODERS.values())


def test_check_decoder_passes(decoder):
    check_decoder(decoder)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("n_labels", [1, 2])
def test_check_decoder_passes_with_few_labels(name, n_labels):
    given = HierarchyClosure([-1, 0][:n_labels]) if name == "hierarchy" else name
    check_decoder(given, n_labels=n_labels, random_state=n_labels)


def test_untouched_rows_is_for_guarantees():
    untouched = {name for name, decoder in VARIANTS.items() if decoder.untouched_rows}
    assert untouched == {"risk_control", "risk_control, alpha"}


# ---- what is the rules' own


def test_no_rows(decoder, data):
    assert decoder.fit(*data).decode(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("name", [n for n, rule in VARIANTS.items() if not rule.requires_fit])
def test_fit_does_not_change_rules_that_need_none(decoder, data):
    scores, _ = data
    unfitted = decoder.decode(scores)
    assert (decoder.fit(*data).decode(scores) == unfitted).all()


def test_beats_nothing_and_everything(decoder, data):
    """A rule that ignored the scores would not."""
    scores, Y = data
    hat = decoder.fit(scores, Y).decode(scores)
    assert scores[hat].mean() > scores[~hat].mean() + 0.2


def test_label_sets_of_more_rows_never_break_decode(decoder, data):
    scores, Y = data
    expected = decoder.fit(scores[:30], Y[:30]).decode(scores)
    knows_sets = any("label_sets_" in key for key in fitted_values(decoder))
    for more in (Y, Y.astype(np.uint8), np.clip(Y, 0.1, 0.9), np.full_like(Y, np.nan)):
        assert decoder.learn_sets(more, np.linspace(0, 1, 60)) is decoder
        found = decoder.decode(scores)
        assert found.shape == Y.shape and found.dtype == bool
        assert knows_sets or (found == expected).all()
    # The same rows again change nothing.
    assert (decoder.learn_sets(Y[:30]).decode(scores) == expected).all()
    whole = clone(decoder).fit(scores, Y)
    if knows_sets:
        assert_same_fit(decoder.learn_sets(Y), whole)


def test_permuted_labels(decoder, name, data):
    if name in LABEL_BOUND:
        pytest.skip("its thresholds belong to the labels")
    scores, Y = data
    order = [2, 0, 3, 1]
    expected = clone(decoder).fit(scores, Y).decode(scores)[:, order]
    permuted = decoder.fit(scores[:, order], Y[:, order]).decode(scores[:, order])
    assert (permuted == expected).all()


def test_weights_are_counts(decoder, data):
    scores, Y = data
    weight = np.tile([1.0, 0.0, 2.0], 20)
    repeated = np.repeat(np.arange(60), weight.astype(int))
    left = clone(decoder).fit(scores, Y, weight)
    assert_same_fit(left, decoder.fit(scores[repeated], Y[repeated]))


def test_weights_matter(data):
    scores, Y = data
    weight = np.where(Y.sum(axis=1) > 1, 5.0, 1.0)
    learning = "label_set", "gfm", "proportion", "threshold_function", "risk_control"
    for name in ("global_threshold", "per_label_threshold", "cardinality", *learning):
        plain, weighted = DECODERS[name]().fit(scores, Y), DECODERS[name]().fit(scores, Y, weight)
        left, right = fitted_values(plain), fitted_values(weighted)
        assert any((left[key] != right[key]).any() for key in left), name


def test_an_unobserved_row_is_a_row_removed(decoder, data):
    scores, Y = data
    if "cardinality" in repr(decoder).lower():
        pytest.skip("an unobserved label counts as its score")
    Y[10:20] = np.nan
    seen = ~np.isnan(Y[:, 0])
    left = clone(decoder).fit(scores, Y)
    assert_same_fit(left, decoder.fit(scores[seen], Y[seen]))


def test_one_label_one_row(decoder, name):
    if name in LABEL_BOUND or name == "top_k, k":
        pytest.skip("asks for more labels")
    for target in (0, 1, 0.5, np.nan):
        hat = clone(decoder).fit([[0.3]], [[target]]).decode([[0.3], [0.9]])
        assert hat.shape == (2, 1)


def test_all_scores_equal(decoder, data):
    _, Y = data
    scores = np.full(Y.shape, 0.4)
    hat = decoder.fit(scores, Y).decode(scores)
    assert (hat == hat[0]).all()  # rows with the same scores get the same answer


def test_count_is_accepted_by_all(decoder, data):
    scores, Y = data
    count = np.full(60, 2.0) + np.arange(60) % 2
    assert decoder.fit(scores, Y, count=count).decode(scores, count=count).shape == Y.shape


def test_weight_zero_drops_the_count_too(data):
    scores, Y = data
    count = Y.sum(axis=1)
    weight = 1.0 * (np.arange(60) < 40)
    left = CardinalityCut().fit(scores, Y, weight, count)
    assert_same_fit(left, CardinalityCut().fit(scores[:40], Y[:40], None, count[:40]))


# ---- fit and decode, which are final: once


def test_fit_and_decode_are_final():
    for cls in DECODERS.values():
        assert cls.fit is Decoder.fit and cls.decode is Decoder.decode


def test_lists_and_booleans(data):
    scores, Y = data
    expected = GlobalThreshold().fit(scores, Y).decode(scores)
    found = GlobalThreshold().fit(scores.tolist(), Y.astype(bool)).decode(scores.tolist())
    assert (found == expected).all()


def test_read_only_arrays(data):
    weight = np.linspace(0, 1, 60)
    for array in (*data, weight):
        array.flags.writeable = False
    GFMDecoder().fit(*data, weight).learn_sets(data[1], weight).decode(data[0])


def test_is_fitted(data):
    decoder = GlobalThreshold()
    with pytest.raises(NotFittedError, match="GlobalThreshold"):
        decoder.decode(data[0])
    with pytest.raises(NotFittedError):
        check_is_fitted(decoder)
    check_is_fitted(decoder.fit(*data))
    check_is_fitted(FixedThreshold())
    assert decoder.n_labels_ == 4


def test_wrong_number_of_labels(data):
    scores, Y = data
    decoder = GlobalThreshold().fit(scores, Y)
    with pytest.raises(ValueError, match=r"scores has 3 labels .* fitted with 4"):
        decoder.decode(scores[:, :3])


def test_bad_input_to_decode(data):
    decoder = GlobalThreshold().fit(*data)
    with pytest.raises(ValueError, match="scores must be finite"):
        decoder.decode(np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="count must have one value per row"):
        decoder.decode(data[0], count=[1.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros(60)}, r"scores must be 2-D.*got shape \(60,\)"),
        ({"scores": np.full((60, 4), np.nan)}, "scores must be finite, got 240"),
        ({"scores": np.full((60, 4), np.inf)}, "scores must be finite"),
        ({"scores": np.full((60, 4), "a")}, "scores must be a dense numeric array"),
        ({"scores": np.empty((0, 4)), "Y": np.empty((0, 4))}, "scores has 0 rows"),
        ({"Y": np.zeros((60, 3))}, r"Y has shape \(60, 3\) but scores has shape \(60, 4\)"),
        ({"Y": np.full((60, 4), 2)}, r"Y must hold values in \[0, 1\].*got 2"),
        ({"Y": np.full((60, 4), -np.inf)}, "Y must hold values"),
        ({"sample_weight": np.ones(59)}, r"sample_weight .*\(60,\), got \(59,\)"),
        ({"sample_weight": -np.ones(60)}, "sample_weight must be non-negative, .*-1"),
        ({"sample_weight": np.full(60, np.nan)}, "sample_weight must be finite"),
        ({"sample_weight": np.zeros(60)}, "sample_weight is 0 for every row"),
        ({"count": np.ones((60, 1))}, r"count .*got shape \(60, 1\)"),
        ({"count": np.full(60, np.inf)}, "count must be finite"),
    ],
)
def test_bad_input(data, change, message):
    decoder = GlobalThreshold()
    arguments = {"scores": data[0], "Y": data[1]} | change
    with pytest.raises(ValueError, match=message):
        decoder.fit(**arguments)
    assert not fitted_values(decoder)


def test_subclasses_get_clean_read_only_arrays():
    class Spy(Decoder):
        def _fit(self, scores, Y, sample_weight, count):
            self.seen_ = (scores, Y, sample_weight, count)

        def _decode(self, scores, count):
            scores[:] = 0
            return scores > 0

    spy = Spy().fit([[1, 0]], [[True, None]])
    scores, Y, weight, count = spy.seen_
    assert scores.dtype == Y.dtype == weight.dtype == np.float64
    assert np.isnan(Y[0, 1]) and weight.tolist() == [1.0] and count is None
    with pytest.raises(ValueError, match="read-only"):
        spy.decode(np.ones((1, 2)))


def test_get_decoder():
    for name, cls in DECODERS.items():
        assert type(get_decoder(name)) is type(get_decoder(cls)) is cls
        assert get_decoder(name) is not get_decoder(name)
    given = TopK(3)
    assert get_decoder(given) is given
    with pytest.raises(ValueError, match="unknown decoder 'top-k'; the names are: threshold, "):
        get_decoder("top-k")
    for wrong in (None, 3, dict, ["argmax"]):
        with pytest.raises(TypeError, match="the names are: threshold, "):
            get_decoder(wrong)
