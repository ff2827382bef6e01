"""One setting, declared once: what it may be, and what people read about it. Command line, page, links, API and validation use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

Kind = Literal["choice", "whole", "number", "pair", "switch", "text"]
# Where the page shows a setting: the first group is always in sight, the others are the decisions of a step, under "More settings".
Group = Literal["first", "which", "how_many", "where", "revise", "none"]
GROUPS: dict[Group, str] = {
    "which": "Which token",
    "how_many": "How many at once",
    "where": "Where next",
    "revise": "What is taken back",
}
_KEY = "setting"


@dataclass(frozen=True)
class Method:
    """One of a setting's choices, as people read about it.

    Args:
        name: the choice.
        title: what the page calls it.
        about: what it does, in one clause.
        cost: what it costs in forward passes; "" where the setting's own cost says it.
    """

    name: str
    title: str
    about: str
    cost: str = ""


@dataclass(frozen=True)
class Setting:
    """What a setting may be and how it is shown.

    Args:
        kind: "choice" of `choices`; "whole" number or "number" from `low` to `high`; "pair" of two such numbers (first step, last
            step); "switch" on or off; "text", checked by `check`.
        help: one clause for the command line's help: what it does, with its range.
        label: what the page calls it.
        group: where the page shows it; "none" = the page shows it in a place of its own.
        low, high: the range, both included.
        choices: allowed names of a choice; of a text, those offered for picking.
        left_open: what None means ("the first quarter"); "" = None is not allowed.
        slider: (lowest, highest, step) of the page's slider; None = the page shows a plain field.
        metavar: what the help calls its value.
        cost: what it costs in forward passes, of a setting that may cost some ("one more forward pass per step").
        methods: of a choice, what each one does, where a name does not say it.
        ends: of a pair, what the page calls its two numbers.
        check: raises ValueError for a text that is not allowed.
    """

    kind: Kind
    help: str
    label: str
    group: Group = "none"
    low: float = 0
    high: float = 100
    choices: tuple[str, ...] = ()
    left_open: str = ""
    slider: tuple[float, float, float] | None = None
    metavar: str = ""
    cost: str = ""
    methods: tuple[Method, ...] = ()
    ends: tuple[str, str] = ("first step", "last step")
    check: Callable[[str], object] | None = None

    @property
    def full_help(self) -> str:
        """The help with a clause for each of the choices that need one."""
        return "; ".join([self.help, *(f"{one.name}: {one.about}" for one in self.methods)])

    def checked(self, name: str, value: Any) -> Any:
        """The value as it is kept, after checking it.

        Raises:
            ValueError: naming the setting, the value and what is allowed.
        """
        if value is None and self.left_open:
            return None
        if self.kind == "choice":
            return one_of(name, value, self.choices)
        if self.kind == "whole":
            return whole_number(name, value, self.low, self.high)
        if self.kind == "number":
            self._check_number(name, value)
        if self.kind == "pair":
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise ValueError(f"{name}={shortened(value)}: give a pair (start, end), both >= {self.low:g}")
            for end, part in zip(("start", "end"), value, strict=True):
                self._check_number(f"{name} {end}", part)
            return float(value[0]), float(value[1])
        if self.kind == "switch" and not isinstance(value, bool):
            raise ValueError(f"{name}={shortened(value)}: give True or False")
        if self.kind == "text" and self.check is not None:
            self.check(str(value))
        return value

    def from_field(self, name: str, value: Any) -> Any:
        """A value as an input field delivers it (floats for whole numbers, blank for "left open") -> as it is kept.

        Raises:
            ValueError: when a field that needs a value is blank, or a whole number has a fraction.
        """
        if self.kind == "pair" and isinstance(value, (tuple, list)):
            blank = [part in (None, "") for part in value]
            if all(blank) and self.left_open:
                return None
            if any(blank):
                raise ValueError(f"{name} is half blank; give both ends" + (", or neither" if self.left_open else ""))
            return tuple(float(part) if isinstance(part, int) and not isinstance(part, bool) else part for part in value)
        if value in (None, ""):
            if self.left_open:
                return None
            raise ValueError(f"{name} is blank; give a value")
        if self.kind == "whole" and isinstance(value, float):
            if not math.isfinite(value) or value != int(value):
                raise ValueError(f"{name}={shortened(value)}: give a whole number")
            return int(value)
        if self.kind == "number" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value

    def from_text(self, name: str, text: str) -> Any:
        """Inverse of to_text.

        Raises:
            ValueError: naming the setting and the text.
        """
        try:
            if text == "None" and self.left_open:
                return None
            if self.kind == "switch":
                return {"True": True, "False": False}[text]
            if self.kind == "whole":
                return int(text)
            if self.kind == "number":
                return float(text)
            if self.kind == "pair":
                start, end = (float(part) for part in text.split(","))
                return start, end
        except (ValueError, KeyError):
            raise ValueError(f"{name}={shortened(text)} is not a value that {name} can take") from None
        return text

    def to_text(self, value: Any) -> str:
        """A value in a link."""
        if isinstance(value, tuple):
            return ",".join(map(self.to_text, value))
        if not isinstance(value, float):
            return str(value)
        short = f"{value:g}"
        return short if float(short) == value else repr(value)  # a link gives back the very number

    def _check_number(self, name: str, value: Any) -> None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # Not-a-number is in no range; comparing also works for whole numbers that no float can hold.
        if not number or not self.low <= value <= self.high:
            raise ValueError(f"{name}={shortened(value)}: give a number from {self.low:g} to {self.high:g}")


def whole_number(name: str, value: Any, low: float, high: float) -> int:
    """An untrusted value, if it is a whole number from `low` to `high`, both included.

    Raises:
        ValueError: naming the value and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}={shortened(value)}: give a whole number from {low} to {high}")
    return value


def one_of(name: str, value: Any, choices: Iterable[str]) -> str:
    """An untrusted value, if it is one of these names.

    Raises:
        ValueError: naming the value and what is allowed.
    """
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}={shortened(value, 40)}: choose one of {listed(allowed)}")
    return value


def listed(names: Iterable[str], most: int = 200) -> str:
    """Names for a message, as many as fit into so many characters."""
    text = ", ".join(names)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def retold(error: Exception, *values: Any) -> str:
    """An error's message with these values in it shortened, for errors of rooms that say a value whole."""
    text = str(error)
    for value in values:
        text = text.replace(repr(value), shortened(value, 40))
    return text if len(text) < 300 else f"{text[:290]}..."


def shortened(value: Any, most: int = 80) -> str:
    """A value for a message, in so many characters at most: its beginning, or how long a number, list or object it is."""
    if isinstance(value, int) and abs(value) >= 10**30:
        return f"a number of about {value.bit_length() * 3 // 10} digits"
    text = repr(value)
    if len(text) > most and isinstance(value, (list, tuple, dict)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def declare(default: Any, kind: Kind, help: str, label: str, **told: Any) -> Any:
    """A dataclass field with its declaration.

    Args:
        default: the value where none is given; None = left open.
        kind, help, label, told: as `Setting`.
    """
    return field(default=default, metadata={_KEY: Setting(kind, help, label, **told)})


def declared(kind: type) -> dict[str, Setting]:
    """The declarations of a dataclass, by field name in order.

    Raises:
        ValueError: a field without a declaration.
    """
    found: dict[str, Setting] = {}
    one: Field[Any]
    for one in fields(kind):
        if _KEY not in one.metadata:
            raise ValueError(f"{kind.__name__}.{one.name} is not declared as a setting")
        found[one.name] = one.metadata[_KEY]
    return found
