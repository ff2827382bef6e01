"""Ages: a model's weights as they were after a part of its training, as small files beside the final ones.

Knows files, not models and training.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from uncage_demo.shipped import EMBEDDED

# After these parts of the training budget the weights are kept; the whole of it is the model itself.
AGES = (Fraction(1, 20), Fraction(1, 5), Fraction(3, 5))
WHOLE = Fraction(1)
FOLDER = "ages"


def parse_age(age: str | float | Fraction) -> Fraction:
    """The part of the training that an age names.

    Args:
        age: a fraction ("1/5", "1", 0.2), one of AGES or WHOLE; "all" is the whole.

    Raises:
        ValueError: anything else.
    """
    allowed = ", ".join(str(part) for part in (*AGES, WHOLE))
    try:
        # By its decimal digits: the float 0.2 is not a fifth.
        part = WHOLE if age == "all" else Fraction(str(age) if isinstance(age, float) else age)
    except (ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"age {age!r} is no part of the training; choose from {allowed}") from error
    if part not in (*AGES, WHOLE):
        raise ValueError(f"age {age!r}: choose from {allowed}")
    return part


def said(age: str | float | Fraction) -> str:
    """An age in words: "1/5 of its training", "all of its training".

    Args:
        age: see parse_age; "" is the whole.

    Raises:
        ValueError: see parse_age.
    """
    part = parse_age(age or WHOLE)
    return f"{'all' if part == WHOLE else part} of its training"


def age_file(folder: Path, age: Fraction) -> Path:
    """Where the weights of an age are: `FOLDER/ages/1-5.safetensors`."""
    return folder / FOLDER / f"{age.numerator}-{age.denominator}.safetensors"


def ages_of(name: str) -> tuple[Fraction, ...]:
    """Every age of a model that keeps them, youngest first and the whole last.

    Args:
        name: an embedded model's name or its folder.

    Raises:
        ValueError: a model that keeps no ages.
    """
    kept = ages_in(EMBEDDED.get(name, Path(name)))
    if not kept:
        having = ", ".join(one for one, folder in EMBEDDED.items() if ages_in(folder)) or "none of the shipped models"
        raise ValueError(f"model {name!r} keeps no weights of its training, so it has no ages to compare; {having} does")
    return (*kept, WHOLE)


def ages_in(folder: Path) -> tuple[Fraction, ...]:
    """The ages, youngest first, whose weights a model folder keeps beside its final ones."""
    return tuple(age for age in AGES if age_file(folder, age).exists())
