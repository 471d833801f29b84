"""
Predict from an ONNX file without torch
=======================================

``python examples/predict_onnx.py model.onnx < rows.json`` reads rows and prints predictions in the
JSON of ``serve.py``, for a multi-label model that `sklearn_mlloss.persistence.to_onnx` exported.
Needs only ``pip install numpy onnxruntime``.
"""

import json
import sys

import numpy as np
import onnxruntime


def predict(session, rows):
    """Return the labels and probabilities of rows, each a dict from columns to values."""
    metadata = session.get_modelmeta().custom_metadata_map
    types = {node.name: node.type for node in session.get_inputs()}
    inputs = {}
    for part in json.loads(metadata["inputs"]):
        values = [[row[column] for column in part["columns"]] for row in rows]
        if types[part["name"]] == "tensor(string)":
            text = [["" if v is None else v for v in row] for row in values]
            inputs[part["name"]] = np.array(text, dtype=object)
        else:
            dtype = np.float32 if types[part["name"]] == "tensor(float)" else np.float64
            inputs[part["name"]] = np.array(values, dtype=dtype)  # None becomes NaN
    probabilities, decisions = session.run(["probabilities", "labels"], inputs)
    names = [str(label) for label in json.loads(metadata["label_names"])]
    return [
        {
            "labels": [name for name, chosen in zip(names, decision, strict=True) if chosen],
            "probabilities": dict(zip(names, probability.tolist(), strict=True)),
        }
        for decision, probability in zip(decisions, probabilities, strict=True)
    ]


if __name__ == "__main__":
    session = onnxruntime.InferenceSession(sys.argv[1])
    json.dump(predict(session, json.load(sys.stdin)), sys.stdout, indent=1)
