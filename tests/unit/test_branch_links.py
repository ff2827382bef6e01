"""A link makes branches again: in a fresh page, with the very tokens; what it cannot say has no link, and what is no branch is named."""

import json

import numpy as np
import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.ui import settings as options
from uncage_demo.ui.branch_links import parse_branches
from uncage_demo.ui.examples import Examples
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.settings import Settings

TEXT = "a turtle and a pink apple"


@pytest.fixture(scope="module")
def backend():
    return EmbeddedBackend.tiny(seed=0)


def page(backend, folder):
    return Handlers(ModelSlot(lambda name, allowed: backend), Examples(folder))


def last(news):
    """The last message of a handler."""
    *_, end = [one[0] if isinstance(one, tuple) else one for one in news]
    return json.loads(end)


@pytest.fixture(scope="module")
def branched(backend, tmp_path_factory):
    """(handlers, message) after a pair, a branch that keeps and forbids, and a branch of that one with another order and without a word."""
    handlers = page(backend, tmp_path_factory.mktemp("none"))
    told = last(handlers.generate(TEXT, "", Settings("embedded", ("meissonic", "uncage"), {"num_steps": 5, "seed": 2})))
    record = handlers.store.get(told["ids"][1]).trace.steps[1]
    waiting = int(np.flatnonzero(record.masked_before & ~record.committed)[0])
    told = last(handlers.branch(told["ids"], {"run": 1, "step": 1, "action": "keep", "cell": waiting}))
    told = last(handlers.branch(told["ids"], {"run": 2, "step": 2, "action": "forbid", "cell": 3, "token": int(record.sampled[3])}))
    told = last(handlers.branch(told["ids"], {"run": 3, "step": 3, "order": "halton"}))
    return handlers, last(handlers.branch(told["ids"], {"run": 0, "step": 2, "word": 1}))


def test_a_fresh_page_makes_the_branches_again(backend, branched, tmp_path):
    handlers, told = branched
    text, chosen, _, edits = options.from_query(told["query"])
    fresh = page(backend, tmp_path)
    runs = last(fresh.generate(text, edits, chosen))
    assert len(runs["ids"]) == 2
    again = last(fresh.branch_again(runs["ids"], told["query"]["branches"]))
    assert again["hashes"] == told["hashes"]
    assert len(set(again["hashes"])) == 6
    for one, other in zip(told["ids"], again["ids"], strict=True):
        assert np.array_equal(handlers.store.get(one).trace.tokens, fresh.store.get(other).trace.tokens)
    assert again["query"] == told["query"]


def test_a_seventh_run_says_whose_place_it_takes_and_keeps_the_run_it_continues(branched):
    handlers, told = branched
    assert told["note"] == ""
    more = last(handlers.branch(told["ids"], {"run": 5, "step": 3, "order": "random"}))
    kept = [identity for letter, identity in zip("ABCDEF", told["ids"], strict=True) if letter != "E"]
    assert more["ids"][:5] == kept
    assert more["note"] == "6 runs are the most on stage: E made room for the branch."


def test_branches_of_an_example_have_the_examples_link(backend, branched, tmp_path):
    handlers, told = branched
    for order, identity in zip(("meissonic", "uncage"), told["ids"], strict=False):
        handlers.store.get(identity).trace.save(tmp_path / f"rescue.{order}.npz")
    shipped = page(backend, tmp_path)
    made = last(shipped.branch(["example:rescue.meissonic", "example:rescue.uncage"], {"run": 0, "step": 2, "word": 1}))
    assert made["query"].keys() == {"example", "branches"}
    again = last(page(backend, tmp_path).branch_again(made["ids"][:2], made["query"]["branches"]))
    assert again["hashes"] == made["hashes"]


def test_without_its_parent_a_branch_has_no_link(branched):
    handlers, told = branched
    assert handlers.told(told["ids"][3:], None)["query"] is None  # its parent is gone
    assert handlers.told([*told["ids"][2:], *told["ids"][:2]], None)["query"] is None  # or comes after it
    assert handlers.told(told["ids"][:3], None)["query"] is not None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[]", "give a JSON list of 1 to 4 branches"),
        ("{", "give a JSON list"),
        ("[" * 5000, "give a JSON list"),
        ('[{"at_step":1,"of":"A"}]' + " " * 8000, "at most 8000"),
        (json.dumps([{"at_step": 1, "of": "A"}] * 5), "give a JSON list of 1 to 4 branches"),
        ('[{"at_step":1,"of":"C"}]', "branch of='C': choose one of A, B"),
        ('[{"at_step":1}]', "branch of=''"),
        ('[{"of":"A"}]', "give a JSON object with at_step"),
        ('["A"]', "give a JSON object with at_step"),
        ('[{"at_step":1,"of":"A","keep":[-1]}]', "branch keep=-1"),
        ('[{"at_step":1,"of":"A","settings":{"order":"sideways"}}]', "order='sideways'"),
    ],
)
def test_what_is_no_branch_of_a_link_is_named(text, match):
    with pytest.raises(ValueError, match=match):
        parse_branches(text, 2)


def test_a_step_that_the_run_does_not_have_is_named(branched):
    handlers, told = branched
    with pytest.raises(ValueError, match="at_step=200"):
        list(handlers.branch_again(told["ids"][:2], '[{"at_step":200,"of":"A"}]'))
