"""Settings of all tests."""

import os

# Several processes test at a time: threads of theirs would wait for one another's cores. The
# libraries read this when they are loaded, in this process and in those that tests start.
for name in "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS":
    os.environ.setdefault(name, "1")
