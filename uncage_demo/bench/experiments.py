"""Named experiments: which decoding settings one table compares. Pure settings; runs nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from uncage_demo.bench.best_of import candidates
from uncage_demo.bench.laboratory import NAME as LABORATORY
from uncage_demo.bench.laboratory import methods_at
from uncage_demo.bench.titles import TITLES, equal_cost
from uncage_demo.config import DecodingConfig
from uncage_demo.types import ModelInfo

BASELINE = "meissonic"
GUIDED_FRACTIONS = (0, 1 / 64, 2 / 64, 4 / 64, 8 / 64, 16 / 64, 32 / 64, 1)


@dataclass(frozen=True)
class Experiment:
    """A set of methods to be compared on the same prompts and seeds.

    Args:
        name: key of EXPERIMENTS, or "grid" or a name of the user's.
        title: what it compares (see `titles`).
        methods: label -> settings (the seed in them is replaced by the run's seeds).
        baseline: the label that the others are compared with.
        best_of: label -> of how many drawn pictures the best is kept (see `best_of`); 1 where a label is not named.
    """

    name: str
    title: str
    methods: dict[str, DecodingConfig]
    baseline: str
    best_of: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label, count in self.best_of.items():
            candidates(self.methods[label], count)
        if self.baseline not in self.methods:
            raise ValueError(f"experiment {self.name!r}: baseline {self.baseline!r} is not among its methods {', '.join(self.methods)}")


@dataclass(frozen=True)
class Setting:
    """What an experiment is built around.

    Args:
        base: settings shared by all methods (steps, guidance scale, temperatures ...).
        info: facts about the model.
        blur: the model's default blur, attention-grid cells.
    """

    base: DecodingConfig
    info: ModelInfo
    blur: float


def table1(setting: Setting) -> Experiment:
    """Every order, UNCAGE with its parts, and this project's three. Source: 2508.05399, Table 1; margin and entropy from 2502.06768."""
    base, guided = setting.base, setting.base.with_(order="uncage")
    methods = {name: base.with_(order=name) for name in ("random", "confidence", BASELINE, "maskgit", "halton", "margin", "entropy")}
    methods |= {
        "uncage, negative only": guided.with_(contrast_mode="negative"),
        "uncage, positive only": guided.with_(contrast_mode="positive"),
        "uncage": guided,
        "uncage, all steps": guided.with_(contrast_steps=base.total_steps),
        "anchored": base.with_(order="anchored"),
        "redraw": base.with_(order="redraw"),
        "mend": base.with_(order="mend"),
    }
    return Experiment("table1", TITLES["table1"], methods, BASELINE)


def binding(setting: Setting) -> Experiment:
    """The orders that are meant to help where binding fails, against the baseline: UNCAGE as published and this project's."""
    methods = {name: setting.base.with_(order=name) for name in (BASELINE, "halton", "uncage", "redraw", "mend")}
    return Experiment("binding", TITLES["binding"], methods, BASELINE)


def growth(setting: Setting) -> Experiment:
    """What the published order and this project's gain at one age of a model; run at several, it shows how binding is learnt."""
    methods = {name: setting.base.with_(order=name) for name in (BASELINE, "uncage", "mend")}
    return Experiment("growth", TITLES["growth"], methods, BASELINE)


def editing(setting: Setting) -> Experiment:
    """One object erased and asked for in another colour (see `bench.editing`), in every order that has its own way of choosing."""
    names = (BASELINE, "random", "confidence", "halton", "uncage", "anchored", "redraw", "mend")
    return Experiment("editing", TITLES["editing"], {name: setting.base.with_(order=name) for name in names}, BASELINE)


def laboratory(setting: Setting) -> Experiment:
    """Every training-free method at as many forwards as the baseline has steps (see `laboratory`)."""
    count = setting.base.total_steps
    methods = methods_at(setting.base.resolved(setting.info.defaults, setting.blur), count)
    return Experiment(f"{LABORATORY}-{count}", equal_cost(count), methods, BASELINE)


def weights(setting: Setting) -> Experiment:
    """The weight of the contrast from 0 to 5 by 0.5; 0 is the baseline exactly. Source: 2508.05399, Figure 4."""
    guided = setting.base.with_(order="uncage")
    methods = {f"{w / 2:g}": guided.with_(contrast_weight=w / 2) for w in range(11)}
    return Experiment("weights", TITLES["weights"], methods, "0")


def guided_steps(setting: Setting) -> Experiment:
    """How many steps are guided, as the paper's fractions of all steps. Source: 2508.05399, Table 3 (0, 1, 2 ... 64 of 64)."""
    guided, total = setting.base.with_(order="uncage"), setting.base.total_steps
    counts = sorted({0 if fraction == 0 else max(1, round(fraction * total)) for fraction in GUIDED_FRACTIONS})
    methods = {f"{count} of {total}": guided.with_(contrast_steps=count) for count in counts}
    return Experiment("guided-steps", TITLES["guided-steps"], methods, f"0 of {total}")


def blur(setting: Setting) -> Experiment:
    """No blur, half, the model's default, and double. Source: 2508.05399, Table 4."""
    guided = setting.base.with_(order="uncage")
    sigmas = sorted({0.0, *(round(setting.blur * factor, 3) for factor in (0.5, 1, 2))} if setting.blur > 0 else {0.0, 0.5, 1.0})
    methods = {BASELINE: setting.base.with_(order=BASELINE)} | {f"sigma {s:g}": guided.with_(contrast_blur=s) for s in sigmas}
    return Experiment("blur", TITLES["blur"], methods, BASELINE)


def terms(setting: Setting) -> Experiment:
    """UNCAGE with and without the confidence F_c and the noise F_g. Source: 2508.05399, Table 5."""
    base, guided = setting.base, setting.base.with_(order="uncage")
    methods = {
        "F_c + F_g (baseline)": base.with_(order=BASELINE),
        "F_a + F_c + F_g": guided,
        "F_a + F_c": guided.with_(use_noise=False),
        "F_a + F_g": guided.with_(use_confidence=False),
        "F_a alone": guided.with_(use_confidence=False, use_noise=False),
    }
    return Experiment("terms", TITLES["terms"], methods, "F_c + F_g (baseline)")


def sources(setting: Setting) -> Experiment:
    """Which attention guidance reads (every layer as in the paper, the model's choice, each layer alone) and how maps are rescaled."""
    guided = setting.base.with_(order="uncage")
    methods = {BASELINE: setting.base.with_(order=BASELINE)}
    methods |= {"all layers": guided.with_(attention_source="all"), "chosen source": guided.with_(attention_source="default")}
    methods |= {f"layer {i} alone": guided.with_(attention_source=f"layers:{i}-{i}") for i in range(setting.info.single_layers)}
    methods |= {f"chosen source, rescaled: {mode}": guided.with_(contrast_rescale=mode) for mode in ("none", "max", "minmax", "mean")}
    return Experiment("sources", TITLES["sources"], methods, BASELINE)


def settings(setting: Setting) -> Experiment:
    """UNCAGE as published and with one of its settings changed: weight, guided steps, blur, terms and attention in one table.

    What is the baseline under another name (weight 0, no guided step), or UNCAGE as published, is in it once.
    """
    base = setting.base.resolved(setting.info.defaults, setting.blur)
    around = replace(setting, base=base.with_(contrast_steps=base.with_(order="uncage").guided_steps))
    methods = {name: around.base.with_(order=name) for name in (BASELINE, "uncage")}
    parts = {"weight {}": weights, "guided in {}": guided_steps, "blur: {}": blur, "{}": terms, "attention: {}": sources}
    for told, part in parts.items():
        for name, config in part(around).methods.items():
            if config.order == "uncage" and config.contrast_weight and config.guided_steps and config not in methods.values():
                methods[told.format(name)] = config
    return Experiment("settings", TITLES["settings"], methods, BASELINE)


EXPERIMENTS: dict[str, Callable[[Setting], Experiment]] = {
    "table1": table1,
    "binding": binding,
    "editing": editing,
    "growth": growth,
    LABORATORY: laboratory,
    "weights": weights,
    "guided-steps": guided_steps,
    "blur": blur,
    "terms": terms,
    "sources": sources,
    "settings": settings,
}


def only(experiment: Experiment, methods: list[str]) -> Experiment:
    """An experiment with some of its methods; its baseline stays.

    Raises:
        ValueError: naming a method that it does not have.
    """
    for name in methods:
        if name not in experiment.methods:
            raise ValueError(f"method {name!r}: {experiment.name} has {', '.join(experiment.methods)}")
    kept = {name: config for name, config in experiment.methods.items() if name in methods or name == experiment.baseline}
    return replace(experiment, methods=kept, best_of={name: count for name, count in experiment.best_of.items() if name in kept})


def grid(setting: Setting, axes: list[str], name: str = "grid") -> Experiment:
    """All combinations of the given settings, against the baseline order.

    Args:
        setting: what it is built around.
        axes: "field=value,value" strings; a value is read as JSON where that works ("contrast_weight=1,3", "order=uncage,halton");
            values with commas of their own are separated by ";" ("noise_temperature=[1,0.01];[2,0]").
        name: name of the experiment.

    Raises:
        ValueError: naming an axis that cannot be read or a setting that does not exist.
    """
    fields, choices = [], []
    for axis in axes:
        field, equals, text = axis.partition("=")
        if not equals or not field or not text:
            raise ValueError(f"grid axis {axis!r}: write field=value,value")
        fields.append(field)
        choices.append([_value(item) for item in text.split(";" if ";" in text else ",")])
    methods = {BASELINE: setting.base.with_(order=BASELINE)}
    for values in itertools.product(*choices):
        changes = dict(zip(fields, values, strict=True))
        label = ", ".join(f"{field}={_show(value)}" for field, value in changes.items())
        methods[label] = DecodingConfig.from_dict(setting.base.with_(order="uncage").to_dict() | changes)
    return Experiment(name, "Grid over " + ", ".join(fields), methods, BASELINE)


def from_json(setting: Setting, text: str, name: str) -> Experiment:
    """An experiment written down as JSON: {"title": ..., "baseline": label, "methods": {label: {field: value}}}.

    The field "best_of" keeps the best of so many pictures.

    Raises:
        ValueError: naming what is wrong.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"experiment {name!r} is not JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("methods"), dict) or not data["methods"]:
        raise ValueError(f'experiment {name!r}: expected {{"methods": {{label: {{field: value}}}}}}')
    best_of = {str(label): changes["best_of"] for label, changes in data["methods"].items() if "best_of" in changes}
    methods = {}
    for label, changes in data["methods"].items():
        settings = {field: value for field, value in changes.items() if field != "best_of"}
        methods[str(label)] = DecodingConfig.from_dict(setting.base.to_dict() | settings)
    return Experiment(name, str(data.get("title", name)), methods, str(data.get("baseline", next(iter(methods)))), best_of)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return tuple(value) if isinstance(value, list) else value


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(list(value) if isinstance(value, tuple) else value)
