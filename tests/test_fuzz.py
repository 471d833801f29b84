"""Some of the random cases of `make fuzz`, which runs more of them."""

import pytest
from fuzz.cases import run_case

N_CHUNKS, N_CASES = 12, 4


@pytest.mark.parametrize("chunk", range(N_CHUNKS))
def test_random_cases(chunk):
    found = [run_case(0, number) for number in range(chunk * N_CASES, (chunk + 1) * N_CASES)]
    assert not any(found), "\n\n".join(filter(None, found))
