"""The model slot of the page: loaded on first use behind a lock, never at import; runs are put in line elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from uncage_demo.backends.ages import ages_in
from uncage_demo.backends.base import Backend
from uncage_demo.backends.devices import parse_device
from uncage_demo.backends.embedded.vocab import VOCABULARY, tokenize
from uncage_demo.backends.large.catalog import CatalogEntry, describe, offered
from uncage_demo.backends.large.download import is_folder
from uncage_demo.backends.options import TRACE_KEY, ModelOptions, OptionFact, named, options_for, recorded, without_options
from uncage_demo.backends.zero_gpu import on_zero_gpu
from uncage_demo.prompt.words import WordReader
from uncage_demo.setting import listed, shortened
from uncage_demo.shipped import EMBEDDED
from uncage_demo.trace.record import Trace
from uncage_demo.types import ModelDefaults, TextToken
from uncage_demo.ui import memory

DEVICE_QUEUE = "device"  # the concurrency_id shared by every event that decodes
# Requests that are in the line at once; each holds a thread that mostly sleeps. More wait in Gradio's queue and come in as these leave.
MOST_IN_LINE = 128
# Threads of the server: those in line, those who wait for pictures of steps, and enough for everything else, which never waits behind them.
MAX_THREADS = 2 * MOST_IN_LINE + 64


def _load(name: str, allow_download: bool) -> Backend:
    from uncage_demo.backends import load_backend

    model, options = without_options(name)
    return load_backend(model, device=str(parse_device()), download=allow_download, **options.given())


@dataclass
class ModelSlot:
    """Loaded backends by name and options (see `options.named`): embedded ones stay, of others the last used one.

    Args:
        load: (name with options, download allowed) -> backend; injectable so that tests use a tiny real model.
    """

    load: Callable[[str, bool], Backend] = _load

    def __post_init__(self) -> None:
        self._loading = threading.Lock()
        self.reading = threading.Semaphore(1)  # attention read again, beside the line: one at a time
        self._backends: dict[str, Backend] = {}
        self._names: dict[tuple[str, str, str | None], str] = {}  # what a trace says of its model -> the name it was last loaded by

    def is_loaded(self, name: str) -> bool:
        """Whether get(name) returns at once."""
        return name in self._backends

    def at_hand(self, name: str) -> bool:
        """Whether get(name) is quick and takes no large model's place: for what nobody has asked to be computed."""
        return name in self._backends or (is_embedded(name) and all(map(is_embedded, self._backends)))

    def get(self, name: str, allow_download: bool = False) -> Backend:
        """The backend of that name, loaded when needed.

        Raises:
            ValueError: for a model or an option that this deployment does not offer, or a model that is not here and may not be fetched.
        """
        model, options = without_options(name)
        check_options(model, options)
        if options.age and options.age not in kept_ages(model):
            raise ValueError(f"age={options.age!r}: {title_of(model)} keeps {', '.join(kept_ages(model)) or 'no weights of its training'}")
        with self._loading:
            if name not in self._backends:
                for other in [n for n in self._backends if not is_embedded(n)]:
                    del self._backends[other]
                    memory.unsettle()
                loaded = self._backends[name] = self.load(name, allow_download)
                self._names[loaded.info.id, loaded.info.weight_hash, recorded(loaded).get(TRACE_KEY)] = name
                if is_embedded(name):
                    memory.settle()
            return self._backends[name]

    def of_trace(self, trace: Trace) -> str:
        """What this slot knows the model of a run by: its name with its options, a folder's path where that very model was loaded.

        Raises:
            ValueError: the trace's model options cannot be read.
        """
        known = self._names.get((trace.model.id, trace.model.weight_hash, trace.versions.get(TRACE_KEY)))
        return known or named(trace.model.id, ModelOptions.from_json(trace.versions.get(TRACE_KEY)))

    def reader(self, name: str) -> Any:
        """What can parse a prompt for a model without loading it: its own words where they are known, else plain words."""
        if name in self._backends:
            return self._backends[name]
        return EmbeddedReader() if is_embedded(name) else WordReader()

    def title(self, name: str) -> str:
        """Readable name of a model, without loading it."""
        return self._backends[name].info.title if name in self._backends else title_of(without_options(name)[0])

    @property
    def one_device(self) -> bool:
        """Whether runs go one after another because there is one accelerator; on a CPU, small models share the cores."""
        return on_zero_gpu() or parse_device().type != "cpu"

    def shares_cores(self, name: str) -> bool:
        """Whether runs of this model go side by side: embedded ones on a CPU, where one run keeps one core busy."""
        return is_embedded(name) and not self.one_device

    def gate(self, name: str) -> AbstractContextManager[Any]:
        """What a run of this model holds during each step: nothing where others may compute beside it."""
        return nullcontext() if self.shares_cores(name) else self.reading


def model_choices() -> list[tuple[str, str]]:
    """(title, name) of every model on offer (UNCAGE_MODELS limits them)."""
    return [(entry.title, entry.id) for entry in offered()]


def default_model() -> str:
    """The model that the page starts with: the first one offered."""
    return offered()[0].id


def folders_allowed() -> bool:
    """Whether visitors may name folders of the server: only where its owner says so with UNCAGE_FOLDERS=1 (UNCAGE_MODELS still limits)."""
    asked = os.environ.get("UNCAGE_FOLDERS", "").strip().lower() in ("1", "true", "yes", "on")
    return asked and not os.environ.get("UNCAGE_MODELS", "").strip()


def entry_of(model: str, family: str | None = None) -> CatalogEntry:
    """What is known of a model before it is loaded.

    Args:
        model: its name in the catalogue; a folder of the server where its owner allows that.
        family: of a folder whose config does not tell it.

    Raises:
        ValueError: a model that is not offered here, or a folder that holds none.
    """
    for entry in offered():
        if entry.id == model:
            return entry
    if folders_allowed() and is_folder(model):
        from uncage_demo.backends.large.hub import find
        from uncage_demo.backends.large.layout import settings_in

        folder = Path(model).expanduser()
        return replace(find(model), draws=f"What the checkpoint in {folder} draws.", folder_settings=settings_in(folder, family))
    more = "; or a folder of this server" if folders_allowed() else ""
    raise ValueError(f"model {shortened(model, 40)} is not offered here; choose one of {listed(e.id for e in offered())}{more}")


def option_facts(model: str) -> tuple[OptionFact, ...]:
    """The options that a model has here; those that name folders of the server only where its owner allows that.

    Raises:
        ValueError: a model that is not offered here.
    """
    entry = entry_of(model)
    if entry.family is not None:
        return tuple(one for one in options_for(entry.family, local=folders_allowed()) if one.name != "family")
    from uncage_demo.backends.large.layout import families_in

    # A folder's config tells its family, as far as families differ there.
    families = families_in(Path(model).expanduser())
    known = [one.name for family in families for one in options_for(family) if one.name != "family" or len(families) > 1]
    return tuple(one for one in options_for(None, local=folders_allowed()) if one.name in known)


def check_options(model: str, options: ModelOptions) -> None:
    """Nothing, unless an option is given that the model does not have here.

    Raises:
        ValueError: naming the options, and those that the model has.
    """
    allowed = [one.name for one in option_facts(model)]
    refused = {name: value for name, value in options.given().items() if name not in (*allowed, "age")}
    if refused:
        said = listed((f"{name}={shortened(value, 40)}" for name, value in refused.items()), 120)
        raise ValueError(f"{said}: not an option of {title_of(model)} here; it has {', '.join(allowed) or 'none'}")


def title_of(name: str) -> str:
    """Readable name of a model, without loading it."""
    return next((entry.title for entry in offered() if entry.id == name), Path(name).name or name)


def is_embedded(name: str) -> bool:
    """Whether this is a model that ships with the project, at any age."""
    return without_options(name)[0] in EMBEDDED


def kept_ages(name: str) -> tuple[str, ...]:
    """The ages of a model that are here beside the whole, youngest first; () for a model that keeps none."""
    return tuple(map(str, ages_in(EMBEDDED[name]))) if name in EMBEDDED else ()


def own_settings(name: str) -> ModelDefaults:
    """What holds where the settings leave it to the model, told without loading it; the first model's own for an unknown one.

    Args:
        name: with its options or without.
    """
    model, options = without_options(name)
    try:
        return entry_of(model, options.family).defaults
    except ValueError:
        return offered()[0].defaults


def own_steps(name: str) -> int:
    """The number of steps that a model takes where the settings leave it open."""
    return own_settings(name).num_steps


def about(name: str) -> dict[str, Any]:
    """What the page says of a model before it is loaded: what it can draw, what it costs, whether it is here.

    Raises:
        ValueError: for a model that is not on offer.
    """
    entry, facts = entry_of(name), option_facts(name)
    own = asdict(entry.defaults) | ({"negative_prompt": entry.negative_prompt} if entry.negative_prompt else {})
    return {**describe([entry])[0], "ages": list(kept_ages(name)), "settings": own, "options": [one.name for one in facts]}


class EmbeddedReader:
    """The embedded model's words without its weights."""

    vocabulary = VOCABULARY

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """As the embedded model reads it."""
        tokens, _, truncated = tokenize(text)
        return tokens, truncated
