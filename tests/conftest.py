"""Settings of all tests."""

import os

import pytest

# Several processes test at a time: threads of theirs would wait for one another's cores. The
# libraries read this when they are loaded, in this process and in those that tests start.
for name in "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS":
    os.environ.setdefault(name, "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Format errors of tests that are expected to fail in the way that takes least time."""
    options = item.config.option
    style = options.tbstyle
    if item.get_closest_marker("xfail"):
        options.tbstyle = "native"  # others parse whole files of scikit-learn
    try:
        return (yield)
    finally:
        options.tbstyle = style
