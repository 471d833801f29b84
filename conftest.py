"""Close the figures of examples in docstrings, which stay open otherwise."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _close_figures_of_examples(request):
    yield
    if isinstance(request.node, pytest.Item) and hasattr(request.node, "dtest"):
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close("all")
