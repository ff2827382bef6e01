"""What a lesson says of its runs holds on their traces: every sentence is checked here, or is a definition that no trace can contradict."""
# ruff: noqa: E501

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.unit.test_lessons import judged, shipped
from uncage_demo.bench.scorers_detector import failures
from uncage_demo.diagnosis.binding import binding_table
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.diagnosis.health import health
from uncage_demo.player.run_view import score_terms
from uncage_demo.render.palette import ORDER_MAP, color_table
from uncage_demo.trace.record import StepRecord, Trace
from uncage_demo.ui.lessons import all_lessons, all_terms
from uncage_demo.ui.session import Entry


def sentences(lesson) -> list[str]:
    texts = [*lesson["intro"], *(step["then"] for step in lesson["steps"]), lesson["end"]]
    return [sentence for text in texts for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z“{])", text)]


@cache
def entries(number: int) -> list[Entry]:
    """The runs on the stages of a lesson."""
    lesson = all_lessons()[number - 1]
    examples, found = shipped(lesson)
    found = found or examples.all[0]
    stages = lesson.get("stages")
    return [examples.entry(path.stem) for path in found.files if not stages or path.stem.rpartition(".")[2] in stages]


def traces(number: int) -> list[Trace]:
    return [entry.trace for entry in entries(number)]


def picks(record: StepRecord, scores: np.ndarray) -> set[int]:
    """The cells with the highest scores, as many as the step committed."""
    cells = np.flatnonzero(record.masked_before)
    return set(cells[np.argsort(-scores[cells], kind="stable")][: int(record.committed.sum())].tolist())


def committed(record: StepRecord) -> set[int]:
    return set(np.flatnonzero(record.committed).tolist())


def counts(trace: Trace) -> list[int]:
    return [int(record.committed.sum()) for record in trace.steps]


def without_noise(record: StepRecord) -> float:
    """Share of the picks that would change without noise."""
    return 1 - len(picks(record, record.confidence) & committed(record)) / int(record.committed.sum())


def fork(pair: list[Trace]) -> int:
    return next(s for s, (a, b) in enumerate(zip(pair[0].steps, pair[1].steps, strict=True)) if not a.same_commits(b))


def shows(failure: str, entry: Entry) -> bool:
    return failures(judged(entry), entry.trace.prompt.subjects)[failure]


def last_guided(trace: Trace) -> StepRecord:
    return [record for record in trace.steps if record.weight][-1]


def starts_few(trace: Trace) -> bool:
    made = counts(trace)
    third = len(made) // 3
    return sum(made[:third]) < sum(made[-third:]) / 2 and made[0] <= min(made[third:])


def settles(trace: Trace) -> bool:
    """Whether more guesses stay the same around the middle of a run than in its first steps."""
    same = [float((a.sampled == b.sampled)[b.masked_before].mean()) for a, b in zip(trace.steps, trace.steps[1:-1], strict=False)]
    third = len(same) // 3
    return bool(np.mean(same[third : 2 * third]) > np.mean(same[: third // 2]))


def brightens() -> bool:
    light = color_table(ORDER_MAP).astype(float) @ (0.2126, 0.7152, 0.0722)
    return light[0] < light[128] < light[255]


def at_weight(record: StepRecord, weight: float, noise: float = 1.0) -> set[int]:
    return picks(record, record.confidence + noise * record.noise + weight * record.contrast)


def new_picks_are_clear(trace: Trace) -> bool:
    record = last_guided(traces(5)[1])
    own = trace.steps[record.step]
    new, old = at_weight(own, 8) - committed(own), committed(own) - at_weight(own, 8)
    return bool(new) and own.contrast[[*new]].mean() > own.contrast[[*old]].mean() and own.noise[[*new]].mean() < own.noise[[*old]].mean()


def positions_by(step: int) -> tuple[int, int]:
    """How many of the objects of lesson 3 have their position by a step (1-based), of how many."""
    found = [finding.step for entry in entries(3) for finding in diagnose(entry.trace, entry.verdict) if finding.kind == "decided"]
    return sum(at is not None and at < step for at in found), len(found)


def overlaps(*words: str) -> list[float]:
    """How much the maps of two words overlap, 0..1, in each run of lesson 3 and each step from step 8 (1-based) on."""
    found = []
    for trace in traces(3):
        columns = [trace.columns.index(w.tokens[0]) for text in words for w in trace.prompt.words if w.text == text]
        for record in trace.steps[7:]:
            assert record.attention is not None
            a, b = (record.attention[column] / record.attention[column].sum() for column in columns)
            found.append(float(np.minimum(a, b).sum()))
    return found


def kinds(entry: Entry) -> set[str]:
    found = failures(judged(entry), entry.trace.prompt.subjects)
    return {kind for kind, some in found.items() if some and kind != "duplicate"}


def colours_read() -> list[np.ndarray]:
    """Of each age of lesson 7, how much the bow and the car read "yellow" and "blue", as multiples of the average cell."""
    read = []
    for entry in entries(7):
        table = binding_table(entry.trace, entry.verdict)
        assert table is not None
        columns = [[entry.trace.prompt.words[w].text for w in table.words].index(color) for color in ("yellow", "blue")]
        read.append(table.times[:, columns])
    return read


def right(entry: Entry) -> bool:
    return bool(entry.verdict and entry.verdict.all_correct)


def backpacks() -> tuple[int, int]:
    """How many backpacks the prompt of lesson 9 asks for, and how many the detector finds on stage A."""
    entry = entries(9)[0]
    found = [one.noun for one in entry.verdict.detections]  # pyright: ignore[reportOptionalMemberAccess]
    return sum(s.count for s in entry.trace.prompt.subjects if s.noun == "backpack"), found.count("backpack")


def kept_in_backpacks(step: int) -> list[int]:
    """How many cells of each backpack on stage A of lesson 9 are kept by a step (1-based)."""
    entry = entries(9)[0]
    kept = np.any([record.committed for record in entry.trace.steps[:step]], axis=0).reshape(entry.trace.grid)
    boxes = [np.rint(np.multiply(one.box, 12)).astype(int) for one in judged(entry).detections if one.noun == "backpack"]
    return [int(kept[top:bottom, left:right].sum()) for top, left, bottom, right in boxes]


def spans(record: StepRecord, trace: Trace) -> bool:
    """Whether the cells of a step come from opposite halves of the picture, left and right or top and bottom."""
    y, x = np.divmod(np.flatnonzero(record.committed), trace.grid[1])
    return max(np.ptp(y) / trace.grid[0], np.ptp(x) / trace.grid[1]) > 0.5


def opened_after_draft(trace: Trace) -> tuple[int, int]:
    """At which step (1-based) of a run cells are masked that were not masked before, and how many of them."""
    new = [
        (b.step, int((b.masked_before & ~(a.masked_before & ~a.committed)).sum()))
        for a, b in zip(trace.steps, trace.steps[1:], strict=False)
    ]
    return next((step, count) for step, count in new if count)


def step_of(number: int) -> Trace:
    return traces(number)[0]


# Sentence -> whether it holds on the lesson's runs.
CHECKED: dict[str, Callable[[], Any]] = {
    "A masked generative transformer starts from a grid in which every cell is hidden.": lambda: step_of(1).steps[0].masked_before.all(),
    "In each step it guesses all hidden cells at once, keeps a few of the guesses, and hides the rest again.": lambda: all(
        (b.masked_before == (a.masked_before & ~a.committed)).all() for a, b in zip(step_of(1).steps, step_of(1).steps[1:], strict=False)
    ),
    "What is kept is never changed, unless a method opens cells again.": lambda: health(step_of(1)).changed == 0,
    "Outlined cells are the ones kept in that step: few at first, more later.": lambda: starts_few(step_of(1)),
    "The model already has a guess for every cell.": lambda: all((r.sampled >= 0).all() for r in step_of(1).steps[:3]),
    "More guesses now stay the same from step to step than at the start, because the model sees the cells that were kept.": lambda: settles(
        step_of(1)
    ),
    "One colour per step: dark cells were kept early, bright ones late.": brightens,
    "The usual order adds two numbers: confidence, the log-probability of the guess (0 means certain), and random noise.": lambda: all(
        np.allclose((r.confidence + r.noise)[r.masked_before], r.scores[r.masked_before], atol=1e-5) and r.confidence.max() <= 0
        for r in step_of(2).steps
    ),
    "The noise fades: early it decides most choices, at the end almost none.": lambda: (
        np.mean([without_noise(r) for r in step_of(2).steps[: len(step_of(2).steps) // 3]]) > 0.5
        and np.mean([without_noise(r) for r in step_of(2).steps[-2:]]) < 0.1
        and step_of(2).steps[0].noise.std() > 20 * step_of(2).steps[-1].noise[step_of(2).steps[-1].masked_before].std()
    ),
    "The schedule used here, a cosine, begins with few, while little is known.": lambda: (
        step_of(2).config["schedule"].startswith("cosine") and starts_few(step_of(2))
    ),
    "The score of a cell is confidence plus noise.": lambda: (
        score_terms(step_of(2)) == [{"confidence": True, "noise": True, "contrast": False}] * len(step_of(2).steps)
    ),
    "The cutoff is the lowest score that is kept in this step; cells below it wait.": lambda: all(
        ((r.scores >= r.cutoff) == r.committed)[r.masked_before].all() and np.isclose(r.scores[r.committed].min(), r.cutoff)
        for r in step_of(2).steps
    ),
    "Here it draws one prompt three times, from three seeds.": lambda: (
        len({t.prompt.text for t in traces(3)}) == 1 and len({t.config["seed"] for t in traces(3)}) == 3
    ),
    "Three pictures of the same prompt, and none of them is right.": lambda: not any(right(entry) for entry in entries(3)),
    "Each fails in a way of its own.": lambda: [kinds(entry) for entry in entries(3)] == [{"leaked"}, {"mixture"}, {"missing"}],
    "This is a leaked colour: the prompt gives it to the other object only.": lambda: "leaked" in kinds(entries(3)[0]),
    "This is a mixture: the cells of one place do not agree on what they draw.": lambda: any(
        one.rival for one in judged(entries(3)[1]).detections
    ),
    "This is a missing object.": lambda: not all(judged(entries(3)[2]).objects_found),
    "Most objects have their position by step 12, when less than a third of the cells are decided.": lambda: (
        positions_by(12)[0] > positions_by(12)[1] / 2 and all(sum(counts(t)[:12]) < t.tokens.size / 3 for t in traces(3))
    ),
    "From step 8 on the two maps hardly overlap: the model tells the objects apart.": lambda: max(overlaps("backpack", "suitcase")) < 0.3,
    "The maps of “white” and “green” overlap far more: it does not tell the colours apart.": lambda: (
        min(np.divide(overlaps("white", "green"), overlaps("backpack", "suitcase"))) > 2
    ),
    "They begin this step with the same masked cells and the same guesses, but keep different cells.": lambda: (
        all(
            (a.sampled == b.sampled).all() for a, b in list(zip(traces(4)[0].steps, traces(4)[1].steps, strict=True))[: fork(traces(4)) + 1]
        )
        and (traces(4)[0].steps[fork(traces(4))].masked_before == traces(4)[1].steps[fork(traces(4))].masked_before).all()
        and committed(traces(4)[0].steps[fork(traces(4))]) != committed(traces(4)[1].steps[fork(traces(4))])
    ),
    "The same confidence, the same noise: only the weighted contrast differs, and it decides on which side of the cutoff the cell falls.": lambda: (
        all(
            np.array_equal(getattr(traces(4)[0].steps[fork(traces(4))], term), getattr(traces(4)[1].steps[fork(traces(4))], term))
            for term in ("confidence", "noise")
        )
        and traces(4)[0].steps[fork(traces(4))].weight == 0 != traces(4)[1].steps[fork(traces(4))].weight
    ),
    "Same model, same seed, another order: another picture.": lambda: (
        len({t.config["seed"] for t in traces(4)}) == 1 and not np.array_equal(traces(4)[0].tokens, traces(4)[1].tokens)
    ),
    "Weight 0 is the baseline, exactly: on stage A, which was made without contrast, no pick changes.": lambda: all(
        at_weight(r, 0) == committed(r) for r in traces(5)[0].steps
    ),
    "On stage B contrast now differs more between cells than confidence does, so contrast decides.": lambda: (
        8 * last_guided(traces(5)[1]).contrast[last_guided(traces(5)[1]).masked_before].std()
        > last_guided(traces(5)[1]).confidence[last_guided(traces(5)[1]).masked_before].std()
    ),
    "The new picks attend more clearly to one object; the cells that they replace were picked because of the noise.": lambda: all(
        new_picks_are_clear(trace) for trace in traces(5)
    ),
    "Without noise, nothing is left to chance: at weight 8 the cells with the most contrast win, at weight 0 the surest ones would.": lambda: (
        all(
            len(at_weight(r, 8, 0) & picks(r, r.contrast)) > len(at_weight(r, 8, 0)) / 2 and at_weight(r, 0, 0) == picks(r, r.confidence)
            for r in (last_guided(traces(5)[1]), traces(5)[0].steps[last_guided(traces(5)[1]).step])
        )
    ),
    "By default the contrast acts in the first quarter of the steps, here the first {guided} of {steps}.": lambda: (
        [r.step for r in traces(5)[1].steps if r.weight] == list(range(len(traces(5)[1].steps) // 4))
    ),
    "After that both runs choose by the same rule.": lambda: all(
        r.weight == 0 and at_weight(r, 0) == committed(r) for t in traces(5) for r in t.steps[len(t.steps) // 4 :]
    ),
    "Here is a prompt where guidance does not help.": lambda: not right(entries(6)[1]),
    "The pictures differ, and neither is right.": lambda: (
        not any(right(entry) for entry in entries(6)) and not np.array_equal(traces(6)[0].tokens, traces(6)[1].tokens)
    ),
    "Stage A has colours on wrong objects.": lambda: shows("leaked", entries(8)[0]),
    "Stage B was drawn from the same seed with the order UNCAGE, and is right.": lambda: (
        traces(8)[1].config["order"] == "uncage" and traces(8)[0].config["seed"] == traces(8)[1].config["seed"] and right(entries(8)[1])
    ),
    "One word’s colour went to another object.": lambda: shows("leaked", entries(8)[0]),
    "The prompt asks for one backpack, and the detector finds two.": lambda: backpacks() == (1, 2),
    "Most steps keep cells that are far apart, and these cannot agree on which of them draw the backpack.": lambda: (
        np.mean([spans(r, traces(9)[0]) for r in traces(9)[0].steps]) > 0.5
    ),
    "Cells of both backpacks are kept by step 7.": lambda: min(kept_in_backpacks(7)) > 0,
    "After step 16, “Draft and mend” masks again every cell whose place the attention does not confirm: here all of them.": lambda: (
        opened_after_draft(traces(9)[1]) == (16, 144)
    ),
    "In the steps that follow, each place reads only the words of its own object.": lambda: (
        len(set(traces(9)[1].steps[16].sight.tolist())) > 1  # pyright: ignore[reportOptionalMemberAccess]
    ),
    "The number of steps stays the same.": lambda: len(traces(9)[0].steps) == len(traces(9)[1].steps),
    "Stage B has each object once, in its colour.": lambda: right(entries(9)[1]),
    "During training, the model’s weights were saved at four ages.": lambda: len({t.age for t in traces(7)}) == 4,
    "Here each age draws the same prompt from the same seed, youngest first.": lambda: (
        len({(t.prompt.text, t.config["seed"]) for t in traces(7)}) == 1 and [t.age for t in traces(7)] == ["1/20", "1/5", "3/5", ""]
    ),
    "The youngest model draws neither object.": lambda: not any(judged(entries(7)[0]).objects_found),
    "The oldest one draws both in their colours.": lambda: right(entries(7)[-1]),
    "In the oldest model, each object read its own colour word more than the other one.": lambda: (
        colours_read()[-1][0, 0] > colours_read()[-1][0, 1] and colours_read()[-1][1, 1] > colours_read()[-1][1, 0]
    ),
    "One age earlier, the bow turned blue, although its cells read “yellow” more than “blue”: attention is a hint, not the whole story.": lambda: (
        [one.color for one in judged(entries(7)[-2]).detections if one.noun == "bow"] == ["blue"]
        and colours_read()[-2][0, 0] > colours_read()[-2][0, 1]
    ),
}

# Sentences that define, point or advise; what they say of the code is tested where it is built.
PLAIN = json.loads(
    """[
    "So the order in which cells are kept decides what the picture can still become.",
    "All but the outlined ones are thrown away again.",
    "You have seen the three things that every run here is made of: a guess for each cell, a choice of cells to keep, and the order in which they are kept.",
    "Two rules decide each step.", "The schedule says how many cells are kept.", "The order says which.",
    "Each bar is the number of cells kept in a step.", "Bright cells are ones where the model is sure of its guess.",
    "Cells already kept have no value any more.",
    "The rank says how far a cell was from being chosen; “score − cutoff” says by how much.",
    "Every choice is a sum that you can read off.", "The next lesson shows what this sum leaves out.",
    "Binding means that each colour goes to its own object.",
    "This model learnt it from captions with the mistakes that captions on the web have: colours on the wrong object, objects that are not in the picture.",
    "So it often fails.",
    "A sure guess is not the same as a good decision.",
    "Once cells are kept that fit no single object, later cells have to fit them.",
    "The detector can be wrong.",
    "Attention is how much a cell looks at each word of the prompt.",
    "Each cell has the colour of the object that it attends to most: the fuller the colour, the stronger the attention.",
    "The diagnosis under the player says in words what it finds.", "Of the first run it says: {diagnosis}",
    "Leaked colours, mixtures and missing objects are the three failures of binding.",
    "The next lesson changes the order in which cells are kept.",
    "The diagnosis reads only the trace, the record of the run, and can be wrong; how often has been measured.",
    "UNCAGE changes only the order in which cells are kept.", "The runs differ from step {fork} on.", "From then on each run builds on its own.",
    "It prefers cells that attend to the words of one object and not to those of another.",
    "For each object it takes a cell’s attention to the weakest of the object’s own words, and subtracts the attention to the strongest word of all other objects.",
    "The largest of these differences is the cell’s contrast.", "Adding it to the score, times a weight, is called guidance.",
    "Orange, above zero: the cell attends to every word of one object more than to any word of another.",
    "Purple, below zero: no object has the cell to itself.",
    "Of the two pictures the diagnosis says: A: {diagnosis} B: {diagnosis_guided}",
    "{guidance} No extra pass through the model was needed: guidance only reads attention that was computed anyway.",
    "The score of a cell is confidence + noise + weight × contrast.",
    "In “What if” you can change the weight for one step and see at once which cells it would pick.",
    "These picks have dashed outlines.", "Nothing is drawn anew; the numbers are those of the recorded runs.",
    "The slider “noise ×” shows what half or twice the noise would pick.",
    "On the first tab you can let the model go on from such a change: click a cell there and choose “Branch from here”.",
    "Guidance is only as good as the attention that it reads.",
    "When the attention does not separate two words, or when what the model usually draws is stronger than the prompt, another order does not help.",
    "The diagnosis says: A: {diagnosis} B: {diagnosis_guided}",
    "Where the objects’ maps cover the same cells, contrast has little to choose by.",
    "Where the maps differ and an object still fails, the cause is elsewhere: in what the model draws, not in the order.",
    "Both stages and all steps share one scale, with zero in the middle.", "Pale cells have a contrast near zero: nothing to go by.",
    "This is all that the other order changed.", "The field “of” beside the layers compares maps instead of pictures.",
    "One example proves nothing, for or against.",
    "The benchmark gives averages over many prompts and seeds, with 95 % intervals.",
    "Only the weights differ.",
    "Look for what comes first: things of any kind, the things that were asked for, or their colours.",
    "An object must be learnt before a colour can be bound to it.",
    "Here the detector finds both objects, each in the colour that the prompt gives it.",
    "On the first tab you can choose this model and how much it has learnt.",
    "“All ages” on the tab “Compare” draws your own prompt at every age.",
    "One prompt proves nothing: the model card counts every kind of failure at every age.",
    "A masked model needs no special training to edit.",
    "Mask some cells of a finished picture again, and it draws just these, with all the others in view.",
    "Here you mend stage A by hand.",
    "All cells of this object must go; any cell that stays would tell the model to draw the same thing again.",
    "Painted cells are masked again.",
    "“Undo” takes a stroke back, and a stroke that starts on a painted cell removes paint.",
    "The margin gives the new tokens room to fit what stays.",
    "Cells that are not painted keep their tokens, whatever is drawn.",
    "The model of this run draws the painted cells with the next seed; the first tab shows the result beside these two.",
    "Another seed may draw something else: paint and press again.",
    "Write another prompt beside “Draw again” to change an object: erase the chair and ask for a green one.",
    "The Results tab says how often that works in each order.",
    "A step keeps many cells at once.",
    "The token of each was drawn without seeing the others, so two tokens can be right alone and wrong together.",
    "In text this gives repeated words.", "In a picture it gives a double: one object, begun in two places.",
    "ParallelBench (arXiv 2510.04767) measures such mistakes on small tasks.",
    "Cells of one colour were kept in the same step.",
    "The first way to mend this: keep fewer cells at a time (more steps), or cells further apart (the setting “Distance in one step”, or the order Halton).",
    "Only more steps need more passes through the model.",
    "Maps of colour words are faint; the table “Which words each object read” under the player sums them up.",
    "The second way: decide early which object a cell belongs to, and where that object goes.",
    "UNCAGE prefers cells that attend to one object; Anchored UNCAGE also holds each object to one place.",
    "Both only read the attention, so no pass is added.",
    "The third way: take back what does not fit.",
    "“More settings” lists the methods by the decision that they change, each with its cost.",
    "One run cannot show which method helps on which model: the Results tab compares them over many prompts."
    ]"""
)


def test_every_sentence_is_checked_or_a_definition():
    said = [sentence for lesson in all_lessons() for sentence in sentences(lesson)]
    assert set(said) == set(CHECKED) | set(PLAIN)
    assert not set(CHECKED) & set(PLAIN)


@pytest.mark.parametrize("sentence", CHECKED)
def test_what_a_lesson_says_holds_on_its_runs(sentence):
    assert all(shipped(lesson)[1] or not lesson["example"] for lesson in all_lessons()), "the shipped examples are here"
    assert CHECKED[sentence]()


def test_terms_are_one_sentence_each():
    terms = all_terms()
    assert len({one["term"] for one in terms}) == len(terms) >= 15
    for one in terms:
        assert one["says"].endswith(".")
        assert not re.search(r"[.!?]\s+[A-Z]", one["says"]), one["term"]
