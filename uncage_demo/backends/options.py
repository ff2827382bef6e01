"""What a large model may be loaded with: checked values, and how a trace and a result line name them. Imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from uncage_demo.backends.ages import WHOLE, parse_age

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend
    from uncage_demo.types import ModelInfo

Kind = Literal["choice", "size", "text", "place", "switch"]
DTYPES = {
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
}
MAX_SIDE_PX = 4096
MAX_NEGATIVE_CHARS = 500
FAMILIES = ("meissonic", "muddit", "dimo", "amused")
# What the scripts of Meissonic, Monetico and Muddit give as negative prompt, word for word.
AUTHORS_NEGATIVE = (
    "worst quality, low quality, low res, blurry, distortion, watermark, logo, signature, text, jpeg artifacts, signature, sketch, "
    "duplicate, ugly, identifying mark"
)
NEGATIVE_PROMPTS = {"authors": AUTHORS_NEGATIVE, "empty": ""}  # name -> text
SIZE_CHOICES_PX = (256, 512, 768, 1024)  # what a page offers; others are typed
# Where PyTorch's own error comes from outside a model, which says what of it did not fit (large/memory.py).
OUT_OF_MEMORY = "not enough memory on the GPU. What helps: fewer pictures side by side, a smaller picture size, or offloading."
TRACE_KEY = "model_options"  # where Trace.versions holds them


@dataclass(frozen=True)
class OptionFact:
    """What people read about one option of a large model. The command line, the page and the API are made from these.

    Args:
        name: the field of ModelOptions.
        label: what a page calls it.
        help: one clause, with range and default.
        kind: "choice" of `choices`, "size" in pixels (one number or HEIGHTxWIDTH, offered are `choices`), "text", "place" (a folder or hub
            id), or "switch".
        choices: allowed names of a choice; sizes or named texts on offer otherwise.
        families: the families that have it.
        metavar: what a command's help calls its value.
        local: only where the one who asks may name folders of the machine that runs the model.
    """

    name: str
    label: str
    help: str
    kind: Kind
    choices: tuple[str, ...] = ()
    families: tuple[str, ...] = FAMILIES
    metavar: str = ""
    local: bool = False

    @property
    def flag(self) -> str:
        """What the command line calls it."""
        return "--image-size" if self.name == "image_size_px" else "--" + self.name.replace("_", "-")


def _option(default: Any, label: str, help: str, kind: Kind, **more: Any) -> Any:
    return field(default=default, metadata={"label": label, "help": help, "kind": kind, **more})


@dataclass(frozen=True)
class ModelOptions:
    """How a model is loaded where that differs from its usual way; of these, embedded models have only an age.

    Args:
        dtype: "float32", "bfloat16" or "float16" (fp32, bf16, fp16 for short), or that torch dtype; None = the device's usual one.
        image_size_px: (height, width) or one number for a square, each side 1..4096 (loading checks which steps the model can draw in);
            None = the model's usual size.
        text_encoder: folder or hub id of another CLIP text encoder of the same width; None = the model's usual one.
        negative_prompt: text of the unconditional half, at most 500 characters, or a name in NEGATIVE_PROMPTS; "" = an empty text,
            None = the model's own (ModelInfo.default_negative_prompt).
        offload: keep only the part in use on the device (for small GPUs; slower).
        compile: torch.compile the blocks around attention (the first steps take a minute or more).
        lora: folder or hub id of a LoRA adapter of the transformer, as peft saves it (aMUSEd only; needs peft).
        family: one of FAMILIES, for a folder or hub id whose config does not tell it (Di[M]O's reads like Meissonic's); None = it tells.
        age: weights as they were after this part of the training, such as "1/5" (embedded models that keep them); None = all of it.

    Raises:
        ValueError: naming the value and what is allowed.
    """

    dtype: str | None = _option(
        None,
        "Precision",
        "precision of the model (default: bfloat16 on GPUs that have it, float16 on others, float32 on CPUs)",
        "choice",
        choices=("float32", "bfloat16", "float16"),
    )
    image_size_px: int | tuple[int, int] | None = _option(
        None,
        "Picture size",
        "side of the picture in pixels, or HEIGHTxWIDTH, such as 512 or 512x768, each side 1 to 4096 (default: the model's usual)",
        "size",
        choices=tuple(map(str, SIZE_CHOICES_PX)),
        metavar="PX",
    )
    text_encoder: str | None = _option(
        None,
        "Text encoder",
        "folder or hub id of another CLIP text encoder of the same width (default: the model's own)",
        "place",
        metavar="FOLDER",
        local=True,
    )
    negative_prompt: str | None = _option(
        None,
        "Negative prompt",
        f'what guidance steers away from, at most {MAX_NEGATIVE_CHARS} characters; "" or "empty" = an empty text, "authors" = the text '
        f'in the scripts of Meissonic, Monetico and Muddit ("{AUTHORS_NEGATIVE}") (default: the model\'s own, which is that text for these '
        "models and empty for aMUSEd)",
        "text",
        choices=tuple(NEGATIVE_PROMPTS),
        metavar="TEXT",
        families=("meissonic", "muddit", "amused"),
    )
    offload: bool = _option(False, "Offload", "keep only the part in use on the GPU: needs less of its memory, slower", "switch")
    compile: bool = _option(
        False,
        "Compile",
        "compile the blocks around attention: needs a C++ compiler on CPU, Triton on CUDA; the first steps take a minute or more",
        "switch",
    )
    lora: str | None = _option(
        None,
        "LoRA adapter",
        "folder or hub id of a LoRA adapter of the transformer, as peft saves it; aMUSEd only, needs peft (default: none)",
        "place",
        metavar="FOLDER",
        families=("amused",),
        local=True,
    )
    family: str | None = _option(
        None,
        "Family",
        "kind of model in a folder or hub id, where its config does not say: Di[M]O's looks like Meissonic's (default: as the config says)",
        "choice",
        choices=FAMILIES,
        local=True,
    )
    age: str | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            # A torch dtype reads "torch.float16".
            name = DTYPES.get(str(self.dtype).removeprefix("torch."))
            if name is None:
                raise ValueError(f"dtype={self.dtype!r}: use float32, bfloat16 or float16 (fp32, bf16, fp16)")
            object.__setattr__(self, "dtype", name)
        if self.image_size_px is not None:
            object.__setattr__(self, "image_size_px", _size(self.image_size_px))
        for name in ("text_encoder", "lora"):
            place = getattr(self, name)
            if place is not None and (not isinstance(place, str) or not place.strip()):
                raise ValueError(f"{name}={place!r}: give a folder or a hub id (owner/name)")
        if self.family is not None and self.family not in FAMILIES:
            raise ValueError(f"family={self.family!r}: choose one of {', '.join(FAMILIES)}")
        if isinstance(self.negative_prompt, str):
            object.__setattr__(self, "negative_prompt", NEGATIVE_PROMPTS.get(self.negative_prompt.strip(), self.negative_prompt))
        elif self.negative_prompt is not None:
            raise ValueError(f"negative_prompt={self.negative_prompt!r}: give a text, or None for the model's own")
        if len(self.negative_prompt or "") > MAX_NEGATIVE_CHARS:
            raise ValueError(f"negative_prompt={repr(self.negative_prompt)[:40]}: give a text of at most {MAX_NEGATIVE_CHARS} characters")
        if self.age is not None:
            age = parse_age(self.age)
            object.__setattr__(self, "age", None if age == WHOLE else str(age))
        for name in ("offload", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: give True or False")

    def given(self) -> dict[str, Any]:
        """The options that differ from the model's usual way, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def deciding(self) -> dict[str, Any]:
        """Of those, as plain JSON values, what can change a picture and is not told by the weights' hash."""
        chosen = {name: value for name, value in self.given().items() if name not in ("offload", "text_encoder", "lora")}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}

    def refuse_for(self, model: str) -> None:
        """Nothing, unless an option is given that embedded models do not have.

        Args:
            model: what the message calls it.

        Raises:
            ValueError: naming the options.
        """
        chosen = {name: value for name, value in self.given().items() if name != "age" and (name, value) != ("dtype", "float32")}
        if chosen:
            said = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
            raise ValueError(f"{said}: {model} has no such option, it runs in float32 at one size; large models have")

    def to_text(self) -> str:
        """The given options as JSON for a trace's header, "" without any; a folder without the path to it."""
        chosen = self.given()
        for name in {"text_encoder", "lora"} & set(chosen):
            if Path(chosen[name]).expanduser().is_dir():
                chosen[name] = Path(chosen[name]).expanduser().resolve().name
        return json.dumps(chosen, ensure_ascii=False, sort_keys=True) if chosen else ""

    @classmethod
    def from_json(cls, value: Any) -> ModelOptions:
        """What `to_text` or `deciding` wrote, checked; nothing given for None and "".

        Args:
            value: a JSON text, or the object it stands for; from a file, so anything.

        Raises:
            ValueError: not such an object, or a value that is not allowed.
        """
        if value is None or value == "":
            return cls()
        try:
            data = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            data = None
        names = [f.name for f in fields(cls)]
        if not isinstance(data, Mapping) or not set(data) <= set(names):
            raise ValueError(f"model options {str(value)[:80]!r}: give an object with some of {', '.join(names)}")
        values: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in data.items()}
        return cls(**values)


OPTIONS: tuple[OptionFact, ...] = tuple(OptionFact(one.name, **one.metadata) for one in fields(ModelOptions) if one.metadata)


def options_for(family: str | None, *, local: bool = True) -> tuple[OptionFact, ...]:
    """The options that a model of a family has, in order; none for the embedded model.

    Args:
        family: one of FAMILIES, "embedded", or None for a folder or hub id that has not told yet (every option).
        local: also those that name folders of this machine.
    """
    return tuple(one for one in OPTIONS if (family is None or family in one.families) and (local or not one.local))


def named(model: str, options: ModelOptions) -> str:
    """One text for a model and what it is loaded with: "embedded-web@1/5", 'meissonic@{"dtype": "float16"}'; the model's own without any.

    Args:
        model: a name of the catalogue, or a folder.
        options: see ModelOptions.
    """
    given = options.given()
    if not given:
        return model
    return f"{model}@{options.age if list(given) == ['age'] else json.dumps(given, ensure_ascii=False, sort_keys=True)}"


def without_options(name: str) -> tuple[str, ModelOptions]:
    """Inverse of `named`: (the model, its options).

    Raises:
        ValueError: options that are not allowed.
    """
    found = re.fullmatch(r"(.+?)@(\{.*\}|\d+/\d+)", name, re.DOTALL)
    if not found:
        return name, ModelOptions()
    return found[1], ModelOptions.from_json(found[2]) if found[2].startswith("{") else ModelOptions(age=found[2])


def recorded(backend: Backend) -> dict[str, str]:
    """What a trace says of it among its versions: nothing where nothing was given."""
    text = backend.options.to_text()
    return {TRACE_KEY: text} if text else {}


def model_facts(backend: Backend) -> dict[str, Any]:
    """What a result line says of its model: id, weight hash and, where given, the options that can change a picture."""
    facts: dict[str, Any] = {"id": backend.info.id, "weight_hash": backend.info.weight_hash}
    chosen = backend.options.deciding()
    return facts | ({"options": chosen} if chosen else {})


def check_same(told: ModelOptions, here: ModelOptions, told_of: ModelInfo, here_of: ModelInfo) -> None:
    """Nothing, unless a run that goes on here would go on under another size or another unconditional half.

    Args:
        told: what made the run; here: what the model is loaded with now.
        told_of, here_of: the models' facts; their own negative prompts hold where none was given.

    Raises:
        ValueError: naming what differs.
    """
    negative = [
        info.default_negative_prompt if options.negative_prompt is None else options.negative_prompt
        for options, info in ((told, told_of), (here, here_of))
    ]
    for name, before, now in (("image_size_px", told.image_size_px, here.image_size_px), ("negative_prompt", *negative)):
        if before != now:
            raise ValueError(f"this run was made with {name}={before!r}, the model here is loaded with {now!r}; load it alike")


def _size(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, tuple) else (value, value)
    if len(sides) != 2 or any(type(side) is not int or not 1 <= side <= MAX_SIDE_PX for side in sides):
        raise ValueError(f"image_size_px={value!r}: give (height, width) or one number, each side 1 to {MAX_SIDE_PX} pixels")
    return sides
