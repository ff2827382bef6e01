"""Many mutants of trace files (the first of them: tests/unit/test_trace_hostile.py)."""

from tests.fuzz_traces import run


def test_2000_mutants() -> None:
    found = run(2000, seed=1)
    assert sum(found.values()) == 2000
    assert found["opened"] >= 20
    assert found["refused"] >= 1000
