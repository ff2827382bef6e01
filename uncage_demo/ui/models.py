"""The model slot of the page: loaded on first use behind a lock, never at import; runs are put in line elsewhere."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from uncage_demo.backends.ages import ages_in, without_age
from uncage_demo.backends.base import Backend
from uncage_demo.backends.devices import parse_device
from uncage_demo.backends.embedded.vocab import VOCABULARY, tokenize
from uncage_demo.backends.large.catalog import describe, offered
from uncage_demo.backends.zero_gpu import on_zero_gpu
from uncage_demo.shipped import EMBEDDED
from uncage_demo.types import TextToken

DEVICE_QUEUE = "device"  # the concurrency_id shared by every event that decodes
# Requests that are in the line at once; each holds a thread that mostly sleeps. More wait in Gradio's queue and come in as these leave.
MOST_IN_LINE = 128
# Threads of the server: those in line, and enough for everything else, which never waits behind them.
MAX_THREADS = MOST_IN_LINE + 64


def _load(name: str, allow_download: bool) -> Backend:
    model, age = without_age(name)
    if model in EMBEDDED:
        from uncage_demo.backends import load_backend

        return load_backend(model, device=str(parse_device()), age=age or None)
    from uncage_demo.backends.large.hub import load_large

    return load_large(name, device=parse_device(), download=allow_download)


@dataclass
class ModelSlot:
    """Loaded backends by name, with the age where it is not the whole (see `ages.aged`): embedded ones stay, of others the last used one.

    Args:
        load: (name with age, download allowed) -> backend; injectable so that tests use a tiny real model.
    """

    load: Callable[[str, bool], Backend] = _load

    def __post_init__(self) -> None:
        self._loading = threading.Lock()
        self.reading = threading.Semaphore(1)  # attention read again, beside the line: one at a time
        self._backends: dict[str, Backend] = {}

    def is_loaded(self, name: str) -> bool:
        """Whether get(name) returns at once."""
        return name in self._backends

    def get(self, name: str, allow_download: bool = False) -> Backend:
        """The backend of that name, loaded when needed.

        Raises:
            ValueError: for a model that this deployment does not offer, or that is not here and may not be fetched.
        """
        model, age = without_age(name)
        if model not in {offer for _, offer in model_choices()}:
            raise ValueError(f"model {model!r} is not offered here; choose one of {', '.join(m for _, m in model_choices())}")
        if age and age not in kept_ages(model):
            raise ValueError(f"age={age!r}: {title_of(model)} keeps {', '.join(kept_ages(model)) or 'no weights of its training'}")
        with self._loading:
            if name not in self._backends:
                for other in [n for n in self._backends if not is_embedded(n)]:
                    del self._backends[other]
                self._backends[name] = self.load(name, allow_download)
            return self._backends[name]

    def reader(self, name: str) -> Any:
        """What can parse a prompt for a model without loading it: its own words where they are known, else plain words."""
        if name in self._backends:
            return self._backends[name]
        return EmbeddedReader() if is_embedded(name) else WordReader()

    def title(self, name: str) -> str:
        """Readable name of a model, without loading it."""
        return self._backends[name].info.title if name in self._backends else title_of(without_age(name)[0])

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


def title_of(name: str) -> str:
    """Readable name of a model, without loading it."""
    return next((entry.title for entry in offered() if entry.id == name), name)


def is_embedded(name: str) -> bool:
    """Whether this is a model that ships with the project, at any age."""
    return without_age(name)[0] in EMBEDDED


def kept_ages(name: str) -> tuple[str, ...]:
    """The ages of a model that are here beside the whole, youngest first; () for a model that keeps none."""
    return tuple(map(str, ages_in(EMBEDDED[name]))) if name in EMBEDDED else ()


def own_steps(name: str) -> int:
    """The number of steps that a model takes where the settings leave it open, without loading it; the first model's for an unknown one."""
    name, entries = without_age(name)[0], offered()
    return next((entry for entry in entries if entry.id == name), entries[0]).default_steps


def about(name: str) -> dict[str, Any]:
    """What the page says of a model before it is loaded: what it can draw, what it costs, whether it is here.

    Raises:
        ValueError: for a model that is not on offer.
    """
    for entry in offered():
        if entry.id == name:
            return {**describe([entry])[0], "ages": list(kept_ages(name))}
    raise ValueError(f"model {name!r} is not offered here; choose one of {', '.join(e.id for e in offered())}")


class WordReader:
    """Reads words where no text encoder is loaded: every word is one token, every word can be drawn."""

    vocabulary = None

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """One token a word, split at blanks and punctuation."""
        return tuple(TextToken(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)), ""


class EmbeddedReader:
    """The embedded model's words without its weights."""

    vocabulary = VOCABULARY

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """As the embedded model reads it."""
        tokens, _, truncated = tokenize(text)
        return tokens, truncated
