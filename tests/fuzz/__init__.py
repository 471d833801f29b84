"""Random cases for the estimators: see `cases`, and `python -m fuzz.run --help`."""
