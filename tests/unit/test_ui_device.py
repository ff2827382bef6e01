"""How long the page asks to borrow a GPU (that every run goes through the loan: tests/slow/test_lent_gpu.py)."""

from tests.factories import make_trace
from uncage_demo import runner
from uncage_demo.config import DecodingConfig


def test_more_work_asks_for_more_seconds_up_to_a_bound() -> None:
    from uncage_demo.ui.device_runs import branch_seconds_for, seconds_for

    prompt = make_trace(0, steps=2).prompt
    runs = [runner.Run(prompt, DecodingConfig(num_steps=64))]
    asked = [seconds_for(0, model, runs * count) for model in ("embedded", "meissonic") for count in (1, 2, 24)]
    assert asked[0] < asked[1] < asked[2] <= asked[5]
    assert asked[3] < asked[4] < asked[5] == 300
    trace = make_trace(0, steps=2)
    assert branch_seconds_for(0, "embedded", trace, {}) == seconds_for(0, "embedded", [runner.Run(prompt, DecodingConfig(num_steps=2))])
