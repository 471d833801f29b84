"""Symbols compute what tensors do."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad, softplus

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from sklearn_mlloss.calibration import IsotonicCalibrator  # noqa: E402
from sklearn_mlloss.decoders import (  # noqa: E402
    ExpectedFBeta,
    GFMDecoder,
    LabelSetDecoder,
    MaxGapCut,
)
from sklearn_mlloss.persistence import _operations, _shapes  # noqa: E402, F401
from sklearn_mlloss.persistence._decisions import calibrated, decided  # noqa: E402
from sklearn_mlloss.persistence._graph import ROWS, Graph  # noqa: E402

GRID = torch.tensor(
    [
        [0.0, 1e-300, -1e-300, 1e-17],
        [-1e-12, 1e-6, -0.3, 0.7],
        [2.5, -40, 40, -800],
        [800, 3, -3, 1],
    ],
    dtype=torch.float64,
)


def symbol(like=GRID):
    graph = Graph()
    return graph.symbol("x", (ROWS, *like.shape[1:]), like.dtype)


def run(function, rows=GRID):
    """Return the value of a function for rows, computed by onnxruntime."""
    x = symbol(rows)
    graph, value = x.graph, function(x)
    kinds = [
        onnx.helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=v.dtype).numpy().dtype)
        for v in (rows, value)
    ]
    shapes = [[None, *rows.shape[1:]], [None if size == ROWS else size for size in value.shape]]
    infos = [
        onnx.helper.make_tensor_value_info(*info)
        for info in zip(("x", value.name), kinds, shapes, strict=True)
    ]
    inner = onnx.helper.make_graph(graph.nodes, "test", infos[:1], infos[1:], graph.constants)
    opset = [onnx.helper.make_opsetid("", 17)]
    proto = onnx.helper.make_model(inner, opset_imports=opset, ir_version=8)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return session.run(None, {"x": rows.numpy()})[0]


def in_place(x):
    y = x.clamp(-5, 5).exp()
    z = y.mul_(2)
    y.add_(x.clamp(-5, 5))
    return z / 2 - y.log_()


@pytest.mark.parametrize(
    "function",
    [
        torch.expm1,
        lambda x: torch.log1p(x.abs()),
        lambda x: torch.log1p(-x.sigmoid() * 0.5),
        torch.sigmoid,
        lambda x: softplus(x.clamp(max=15)),  # beyond 20, torch rounds
        torch.nn.functional.elu,
        lambda x: x.logsumexp(-1),
        lambda x: x.log_softmax(-1),
        lambda x: x.softmax(1),
        lambda x: torch.lerp(x, 2 * x, 0.25),
        lambda x: torch.addcmul(x, x, x, value=-0.5),
        lambda x: torch.sub(x, x.square(), alpha=0.1),
        lambda x: x.tanh().copysign(-x),
        lambda x: x.clamp(-2, 2) ** 3,
        lambda x: 2 - 3 / (x.square() + 1),
        lambda x: x.abs().add(1e-3).reciprocal(),
        lambda x: x.unsqueeze(-1) * torch.arange(3.0, dtype=torch.float64),
        lambda x: (x.unsqueeze(-1) * torch.ones(3, dtype=torch.float64)).flatten(-2),
        lambda x: (x.unsqueeze(-1) * torch.ones(3, dtype=torch.float64)).sum(1),
        lambda x: x.reshape(-1, 4)[..., 1:3],
        lambda x: x[..., -1],
        lambda x: pad(x, (1, 2)),
        lambda x: torch.cat([x, 2 * x], dim=1),
        lambda x: x.sort(descending=True)[0].cumsum(-1),
        lambda x: (x > 0.5).double().argmax(-1),
        lambda x: x.argmax(-1, keepdim=True),
        lambda x: (x > 700).any(-1),
        lambda x: x.scatter(-1, x.argmax(-1, keepdim=True), -1.0),
        lambda x: torch.arange(8.0)[x.argmax(-1)],
        lambda x: x.float() + 1,
        lambda x: (x > 0) + 0.5,
        lambda x: (torch.ones_like(x) + x).clamp(max=700).new_zeros(*x.shape[:-1], 2),
        in_place,
    ],
)  # fmt: skip
def test_functions(function):
    expected = function(GRID.clone())
    value = run(function)
    assert value.dtype == expected.numpy().dtype and value.shape == expected.shape
    np.testing.assert_allclose(value, expected.numpy(), rtol=1e-13, atol=1e-300)


def test_missing_values_pass_limits():
    rows = torch.tensor([[np.nan, 1.0, -1.0]])
    value = run(lambda x: x.clamp(torch.zeros(3), torch.ones(3) * 0.5), rows)
    np.testing.assert_array_equal(value, [[np.nan, 0.5, 0]])


def test_equal_values_keep_their_order():
    rows = torch.tensor([[1.0, 2, 1, 2, 1, 0, 2, 1]]).repeat(1, 9)
    places = run(lambda x: x.sort(descending=True, stable=True)[1], rows)
    np.testing.assert_array_equal(places, rows.sort(descending=True, stable=True)[1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(0),
        lambda x: x.mean(-2),
        lambda x: torch.cat([x, x]),
        lambda x: x.unsqueeze(0),
        lambda x: x.reshape(2, -1),
        lambda x: x.logsumexp(0),
        lambda x: torch.ones(1, 4) @ x,
        lambda x: x.erfinv(),
        lambda x: torch.special.i0(x),
        lambda x: x if x.sum(-1) > 0 else -x,
        lambda x: x[0],
    ],
)
def test_what_has_no_counterpart_is_refused(function):
    with pytest.raises(NotImplementedError, match="no counterpart in ONNX"):
        function(symbol())


@pytest.mark.parametrize(
    "decoder, n_labels",
    [
        (ExpectedFBeta(empty=1), 510),  # ratios of expectations
        (GFMDecoder(), 3),
        (LabelSetDecoder(), 3),
        (MaxGapCut(), 1),
    ],
    ids=str,
)
def test_decoders_in_special_cases(decoder, n_labels):
    scores = np.random.default_rng(0).uniform(0, 0.1, (50, n_labels))
    scores[::5] *= 9
    # No complete row to learn label sets from.
    decoder.fit(scores, np.where(np.arange(n_labels) > 0, scores > 0.05, np.nan))
    chosen = run(lambda x: decided(decoder, x, None), torch.tensor(scores))
    np.testing.assert_array_equal(chosen, decoder.decode(scores))


def test_isotonic_calibrator_of_one_step():
    scores = np.linspace(0.1, 0.9, 9)[:, None]
    calibrator = IsotonicCalibrator(min_positives=0).fit(scores, scores < 0.5)
    value = run(lambda x: calibrated(calibrator, x), torch.tensor(scores))
    np.testing.assert_allclose(value, calibrator.transform(scores), rtol=1e-12)
