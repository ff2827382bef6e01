"""How often a prompt comes out right: intervals, counts order against order, and errors that stay beside the field."""

import json

import pytest

from tests.late import late
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.statistics import mcnemar_exact
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.often import SEEDS_AT_ONCE, how_often, tally, wilson
from uncage_demo.ui.settings import Settings

errors, gr = late("uncage_demo.ui.errors"), late("gradio")


@pytest.mark.parametrize(("correct", "judged"), [(0, 20), (1, 20), (7, 20), (20, 20), (1, 1), (0, 3)])
def test_the_interval_is_wilsons(correct, judged):
    """Both ends solve (share - p)^2 = z^2 p (1 - p) / n."""
    share, (low, high) = correct / judged, wilson(correct, judged)
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / judged, abs=1e-6)
    assert 0 <= low <= share <= high <= 1
    assert (low < share) == (correct > 0)
    assert (high > share) == (correct < judged)


def test_orders_are_compared_seed_by_seed():
    base, other = tally(["a", "b"], [[True, False, None, False], [True, True, True, False]])
    assert (base["correct"], base["judged"], base["p"]) == (1, 3, None)
    assert (other["correct"], other["judged"], other["better"], other["worse"]) == (3, 4, 1, 0)
    assert other["p"] == mcnemar_exact(1, 0)


def test_every_seed_is_judged_once_and_can_be_put_on_the_stage():
    handlers = Handlers(ModelSlot(lambda name, allowed: EmbeddedBackend.tiny()))
    chosen = Settings("embedded", ("meissonic", "halton"), {"num_steps": 4})
    told = [json.loads(text) for text in how_often(handlers, "a cat and a dog", "", chosen, SEEDS_AT_ONCE + 1) if text]
    counts = [one for one in told if one["kind"] == "often"]
    shares = [one["share"] for one in told if one["kind"] == "progress" and "seeds drawn" in one["phase"]]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(set(shares)) > len(counts) + 1, "the bar moves with every step, not with every part alone"
    assert [len(one["rows"]) for one in counts] == [SEEDS_AT_ONCE, SEEDS_AT_ONCE + 1]
    last = counts[-1]
    assert [row["seed"] for row in last["rows"]] == [0, 1, 2, 3, 4]
    for place, row in enumerate(last["rows"]):
        entries = handlers.store.get_many(row["ids"])
        assert [(e.trace.config["order"], e.trace.config["seed"]) for e in entries] == [("meissonic", row["seed"]), ("halton", row["seed"])]
        assert row["query"]["seed"] == str(row["seed"])
        for entry, counted in zip(entries, last["tally"], strict=True):
            assert entry.verdict is not None
            assert counted["seeds"][place] == entry.verdict.all_correct


def test_errors_are_a_message_that_stays():
    @errors.beside_the_field
    def fails(text):
        yield message("progress", phase="Starting…")
        raise ValueError(f"{text!r} cannot be drawn")

    told = [json.loads(text) for text in fails("an owl")]
    assert [one["kind"] for one in told] == ["progress", "problem"]
    assert told[1]["text"] == "'an owl' cannot be drawn"

    def fails_with_two(_text):
        raise ValueError("no")
        yield

    (answer,) = errors.beside_the_field(fails_with_two, answers=2)("x")
    assert json.loads(answer[0])["text"] == "No"
    assert answer[1] == gr.skip()
