"""
Serve a saved model over HTTP
=============================

``python examples/serve.py model.safetensors --port 8000`` serves a model that was trained on a
DataFrame and saved by `sklearn_mlloss.persistence.save`. Rows go in as JSON, with columns by name
and null for missing values; labels come out by name, with the probabilities of all labels::

    curl http://127.0.0.1:8000/predict -H 'Content-Type: application/json' \
        -d '[{"age": 41, "income": null, "city": "Bern"}]'

Open http://127.0.0.1:8000/docs for all columns. Needs ``pip install 'sklearn_mlloss[serve]'``.
"""

import argparse
from typing import Annotated

import pandas as pd
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, create_model

from sklearn_mlloss.persistence import describe, load

# What float32 can represent.
Number = Annotated[float, Field(ge=-3e38, le=3e38, allow_inf_nan=False)]


class Prediction(BaseModel):
    """The prediction of one row."""

    labels: list[str]
    probabilities: dict[str, float]


def row_type(model):
    """Return the type of a row of JSON, which has the columns of the training data."""
    member = model
    while hasattr(member, "estimators_"):  # members of an ensemble have the same columns
        member = member.estimators_[0]
    names = model.feature_names_in_
    categories = {}
    if getattr(member, "is_categorical_", None) is not None:
        categories = dict(zip(names[member.is_categorical_], member.categories_, strict=True))
    fields = {}
    for j, name in enumerate(names):
        kind = str if any(isinstance(level, str) for level in categories.get(name, ())) else Number
        # An alias, because the name of a column need not be a name in Python.
        fields[f"column_{j}"] = (kind | None, Field(alias=name))
    return create_model("Row", __config__=ConfigDict(extra="forbid"), **fields)


def make_app(path):
    """Return the application that serves the model in a file."""
    model, card = load(path), describe(path, as_dict=True)
    if not hasattr(model, "feature_names_in_"):
        raise ValueError(f"{path} has no names of columns: train the model on a DataFrame")
    Row = row_type(model)
    app = FastAPI(title="Multi-label classification")

    @app.exception_handler(RequestValidationError)
    def refuse(request, error):
        # Without the values, which need not be valid JSON: 1e999 becomes infinite.
        problems = [{"loc": e["loc"], "msg": e["msg"]} for e in error.errors()]
        return JSONResponse({"detail": problems}, status_code=422)

    @app.get("/model")
    def model_card() -> dict:
        return card

    @app.post("/predict")
    def predict(rows: Annotated[list[Row], Field(min_length=1)]) -> list[Prediction]:
        X = pd.DataFrame([row.model_dump(by_alias=True) for row in rows])
        try:
            frame = model.predict_frame(X)
        except ValueError as error:  # such as null for a model that takes no missing values
            raise HTTPException(422, str(error)) from error
        return [
            Prediction(
                labels=[str(label) for label, chosen in decision.items() if chosen],
                probabilities={str(label): p for label, p in probability.items()},
            )
            for decision, probability in zip(
                frame["decision"].to_dict("records"),
                frame["probability"].to_dict("records"),
                strict=True,
            )
        ]

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a saved model over HTTP.")
    parser.add_argument("model", help="file that sklearn_mlloss.persistence.save wrote")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes any free port")
    args = parser.parse_args()
    uvicorn.run(make_app(args.model), host=args.host, port=args.port)
