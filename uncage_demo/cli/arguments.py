"""The options of the command line that say how a prompt is decoded: orders, seeds, presets and settings. Parses; decodes nothing."""

from __future__ import annotations

import argparse
from typing import Any

from uncage_demo.config import ORDER_NAMES, SETTINGS, DecodingConfig
from uncage_demo.decoding.presets import NAMED, PRESETS, named_preset, preset, preset_with
from uncage_demo.orders.table import COMPARED, ORDERS
from uncage_demo.setting import Setting

MAX_ORDERS = 6
MAX_SEEDS = 32
# Told for each run, not among the settings that all runs of a command share.
_OF_A_RUN = ("order", "seed")
_DEFAULT = DecodingConfig()


def add_orders(command: argparse.ArgumentParser) -> None:
    """Add --orders."""
    usual = ",".join(COMPARED)
    command.add_argument("--orders", metavar="A,B", help=f"1 to {MAX_ORDERS} of {_orders_told()} (default: the preset's two, else {usual})")


def add_order(command: argparse.ArgumentParser) -> None:
    """Add --order."""
    text = f"{SETTINGS['order'].help}; {_orders_told()} (default: the preset's, else {COMPARED[-1]})"
    command.add_argument("--order", choices=ORDER_NAMES, help=text.replace("%", "%%"))


def add_seeds(command: argparse.ArgumentParser) -> None:
    """Add --seed and --seeds."""
    seeds = command.add_mutually_exclusive_group()
    about = SETTINGS["seed"]
    seeds.add_argument("--seed", type=int, default=_DEFAULT.seed, metavar=about.metavar, help=f"{about.help} (default: {_DEFAULT.seed})")
    seeds.add_argument("--seeds", metavar="LIST", help=f"several, e.g. 0,1,7 or 0-3, at most {MAX_SEEDS}; each gets a folder of its own")


def add_settings(command: argparse.ArgumentParser) -> None:
    """Add --preset and an option for every setting that is declared."""
    group = command.add_argument_group("decoding settings", "Settings given here take precedence over --preset.")
    told = "; ".join(f"{one.name}: {one.about.rstrip('.')}" for one in NAMED.values())
    group.add_argument("--preset", choices=tuple(PRESETS), help=f"settings by name: {told}".replace("%", "%%"))
    for name, setting in SETTINGS.items():
        if name not in _OF_A_RUN:
            text = f"{setting.full_help} (default: {_default_told(setting, getattr(_DEFAULT, name))})"
            group.add_argument(
                "--" + name.replace("_", "-"), dest=name, default=argparse.SUPPRESS, help=text.replace("%", "%%"), **_how(setting)
            )


def config_fields(options: argparse.Namespace) -> dict[str, Any]:
    """The DecodingConfig fields (without order and seed) that the options give: those of the preset, changed by those given one by one."""
    named = getattr(options, "preset", None)
    fields = {name: getattr(options, name) for name in SETTINGS if hasattr(options, name) and name not in _OF_A_RUN}
    fields = fields if named is None else preset_with(named, fields)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def chosen_order(options: argparse.Namespace) -> str:
    """The order that `generate` is to use: the one given, else the preset's, else the guided one."""
    if options.order is not None:
        return options.order
    return COMPARED[-1] if options.preset is None else preset(options.preset).order


def chosen_orders(options: argparse.Namespace) -> tuple[str, ...]:
    """The orders that `compare` is to use: those given, else the preset's two, else the usual two.

    Raises:
        ValueError: as parse_orders.
    """
    if options.orders:
        return parse_orders(options.orders)
    return COMPARED if options.preset is None else named_preset(options.preset).orders


def parse_orders(text: str) -> tuple[str, ...]:
    """ "a,b,c" -> 1 to 6 different order names.

    Raises:
        ValueError: naming what is wrong and what is allowed.
    """
    orders = tuple(part.strip() for part in text.split(",") if part.strip())
    for order in orders:
        if order not in ORDER_NAMES:
            raise ValueError(f"order {order!r}: choose from {', '.join(ORDER_NAMES)}")
    if not 1 <= len(orders) <= MAX_ORDERS or len(set(orders)) < len(orders):
        raise ValueError(f"orders {text!r}: give 1 to {MAX_ORDERS} different ones")
    return orders


def _orders_told() -> str:
    return "; ".join(f"{order.name}: {order.about}" for order in ORDERS.values())


def _default_told(setting: Setting, value: Any) -> str:
    if value is None:
        return setting.left_open
    return ("yes" if value else "no") if isinstance(value, bool) else setting.to_text(value)


def _how(setting: Setting) -> dict[str, Any]:
    """How argparse reads a setting."""
    if setting.kind == "switch":
        return {"action": argparse.BooleanOptionalAction}
    if setting.kind == "choice":
        return {"choices": setting.choices}
    if setting.kind == "pair":
        return {"type": float, "nargs": 2, "metavar": ("START", "END")}
    reads = {"whole": int, "number": float, "text": str}
    return {"type": reads[setting.kind], "metavar": setting.metavar or None}
