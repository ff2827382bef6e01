"""Ages: a model's weights as they were after a part of its training, as small files beside the final ones.

Knows nothing of models and training.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

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


def age_file(folder: Path, age: Fraction) -> Path:
    """Where the weights of an age are: `FOLDER/ages/1-5.safetensors`."""
    return folder / FOLDER / f"{age.numerator}-{age.denominator}.safetensors"


def ages_in(folder: Path) -> tuple[Fraction, ...]:
    """The ages, youngest first, whose weights a model folder keeps beside its final ones."""
    return tuple(age for age in AGES if age_file(folder, age).exists())
