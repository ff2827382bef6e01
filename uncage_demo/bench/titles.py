"""What people read in place of the names in result lines: of experiments, lists of prompts and methods.

Every table, figure and list that people read takes its titles from here; files for other programs keep the names.
"""

from __future__ import annotations

import re

from uncage_demo.bench.records import Record
from uncage_demo.orders.table import COMPARED, ORDERS

# What each experiment compares.
TITLES = {
    "table1": "All orders (UNCAGE paper, Table 1)",
    "binding": "Orders that may help binding",
    "editing": "Orders for redrawing one erased object in another colour",
    "growth": "Orders at several stages of training",
    "weights": "Weight of the contrast (UNCAGE paper, Figure 4)",
    "guided-steps": "Number of guided steps (UNCAGE paper, Table 3)",
    "blur": "Blur of the attention maps (UNCAGE paper, Table 4)",
    "terms": "Terms of the score (UNCAGE paper, Table 5)",
    "sources": "Attention maps that UNCAGE reads",
    "settings": "UNCAGE's settings, one changed at a time",
}
# What a list of prompts asks for.
SUITE_TITLES = {
    "attend-excite": "Attend-and-Excite prompts (two objects)",
    "three-subjects": "prompts of three objects",
    "same-class-two-colours": "prompts of one object in two colours",
    "swapped-colours": "pairs of prompts with swapped colours",
    "two-coloured-objects": "prompts of two coloured objects",
    "rare-colours": "prompts of objects in rare colours",
    "single-object": "prompts of a single object",
    "places": "prompts that name a place",
    "positions": "prompts that say where two objects are",
    "numbers": "prompts that count objects",
    "forty-eight": "48 prompts of two objects",
}
# Titles that result files were written with, and what they are called now.
_RENAMED = {
    "Orders (the paper's Table 1)": TITLES["table1"],
    "Weight of the contrast (Figure 4)": TITLES["weights"],
    "Editing: one object erased and asked for in another colour": TITLES["editing"],
    "Editing on embedded-web: one object erased and asked for in another colour": TITLES["editing"],
    "How binding is learnt": "All orders at several stages of training",
    "UNCAGE's settings, one changed at a time, by age": f"{TITLES['settings']}, at several stages of training",
    "How many steps": "Number of steps in the baseline order",
    "Our orders on further kinds of prompts": "UNCAGE and this project's orders",
    "Two coloured objects": "UNCAGE and this project's orders",
    "Three orders, drawn once more": "UNCAGE and Draft and mend, with new seeds",
    "Guidance in every step, confirmed": "UNCAGE guiding a quarter of the steps or all of them",
}
_LABORATORY = re.compile(r"The laboratory\b.* at (\d+) forwards.*")
# The heading says which model it was, so a model's title at the end of an experiment's says it twice.
_MODEL = re.compile(r"; Emoji scenes, [\w-]+ captions$")


def equal_cost(forwards: int) -> str:
    """Title of the laboratory's experiment at so many forward passes."""
    return f"Orders and settings at {forwards} forward passes per picture"


def experiment_title(record: Record) -> str:
    """What an experiment compares, as its result lines say it: the title they hold, by its present wording, else the experiment's name."""
    title = _MODEL.sub("", str(record.get("title", record["experiment"])))
    if found := _LABORATORY.fullmatch(title):
        return equal_cost(int(found[1]))
    return _RENAMED.get(title, title)


def suite_title(suite: str) -> str:
    """A list of prompts as people call it: "prompts of three objects" for "three-subjects"; several lists are joined by " + "."""
    return " and ".join(SUITE_TITLES.get(name, f"the prompt list “{name}”") for name in suite.split(" + "))


def heading(title: str, suite: str) -> str:
    """What is compared, and on which prompts."""
    return f"{title}{',' if ',' in title and ')' not in title else ''} on {suite_title(suite)}"


def method_title(method: str) -> str:
    """A method of the result lines as the page calls it: "UNCAGE, all steps" for "uncage, all steps"."""
    order, comma, rest = method.partition(",")
    return (ORDERS[order].title if order in ORDERS else order) + comma + rest


def against(method: str) -> str:
    """The method that others are compared with, inside a sentence: "the baseline" for "meissonic", "the setting 0" for "0"."""
    if method == COMPARED[0]:
        return "the baseline"
    return f"the setting {method}" if method.replace(".", "").isdecimal() else method_title(method)
