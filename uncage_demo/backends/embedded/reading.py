"""How a forward of several samples, each with and without its prompt, is shared out: in one piece, or in lanes of one thread each.

The numbers are the same. Lanes are used where there is work for each, and where that has been recorded (see `replay`): lanes that ask
PyTorch for one operator after the other wait for each other's Python. It is recorded once a forward has been asked often. Features for
later steps and words hidden from single cells go in one piece.

Shapes: b samples, n image tokens, t text tokens, v codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from uncage_demo.backends.base import ForwardOutput
from uncage_demo.backends.embedded.blocks import AttentionRequest
from uncage_demo.backends.embedded.replay import CALLS_BEFORE, MOST_SAMPLES
from uncage_demo.backends.embedded.transformer import SceneTransformer, TransformerOutput
from uncage_demo.backends.threads import all_threads, in_lanes, lanes, one_thread


@dataclass(frozen=True)
class Asked:
    """What is to be read.

    Args:
        tokens: "b n" int64, mask_id where masked.
        text: "b t" text ids.
        nothing: "1 t" text ids of the unconditional half; None where it is not wanted.
        request: the attention wanted of the conditional half.
        suppress: text token indices that nothing may attend to in the conditional half.
        hidden: "b n t" bool, True where an image token of the conditional half may not attend to a text token.
        keep: return the features for reuse.
    """

    tokens: Tensor
    text: Tensor
    nothing: Tensor | None
    request: AttentionRequest | None = None
    suppress: tuple[int, ...] = ()
    hidden: Tensor | None = None
    keep: bool = False

    @property
    def kind(self) -> Any:
        """Forwards that agree here do the same to tensors of the same shapes."""
        return len(self.tokens), self.nothing is None, self.request, bool(self.suppress)

    def in_one_piece(self) -> list[_Reading]:
        """Both halves together where the model sees the same of the text in both, else one after the other."""
        if self.nothing is None or self.suppress or self.hidden is not None:
            return self._halves(self.tokens, self.text)
        return [self._both(self.tokens, self.text)]

    def shared(self, count: int) -> list[_Reading]:
        """Few samples at a time for `count` lanes, halves apart where there are lanes enough; empty where some would be left idle."""
        share = min(-(-len(self.tokens) // count), MOST_SAMPLES)
        samples = list(zip(self.tokens.split(share), self.text.split(share), strict=True))
        if self.nothing is None or self.suppress or count >= 2 * len(samples):
            apart = [self._halves(*some) for some in samples]
            readings = [half for halves in zip(*apart, strict=True) for half in halves]
        else:
            readings = [self._both(*some) for some in samples]
        return readings if len(readings) >= count else []

    def _both(self, tokens: Tensor, text: Tensor) -> _Reading:
        assert self.nothing is not None
        b = len(tokens)
        request = None if self.request is None else replace(self.request, samples=b)
        return _Reading(tokens, torch.cat([text, self.nothing.expand(b, -1)]), b, request)

    def _halves(self, tokens: Tensor, text: Tensor) -> list[_Reading]:
        b = len(tokens)
        first = _Reading(tokens, text, b, self.request, self.suppress, self.hidden)
        return [first] if self.nothing is None else [first, _Reading(tokens, self.nothing.expand(b, -1), 0)]


@dataclass(frozen=True)
class _Reading:
    """One call of the transformer; its first `conditional` results are of the conditional half. The rest as `SceneTransformer.forward`."""

    tokens: Tensor
    text: Tensor
    conditional: int
    request: AttentionRequest | None = None
    suppress: tuple[int, ...] = ()
    hidden: Tensor | None = None

    def made(self, transformer: SceneTransformer, *, keep: bool = False, at_once: bool = False) -> TransformerOutput:
        seen: dict[str, Any] = {"request": self.request, "suppress": self.suppress, "hidden": self.hidden}
        return transformer(self.tokens, self.text, keep=keep, at_once=at_once, **seen)

    def plays(self, transformer: SceneTransformer) -> bool:
        return transformer.plays(self.tokens, self.text, request=self.request, suppress=self.suppress)


class Reader:
    """Reads what is asked with a transformer, and remembers how often it was asked. May be used by several threads.

    Args:
        transformer: the model.
    """

    def __init__(self, transformer: SceneTransformer) -> None:
        self.transformer = transformer
        self._times: dict[Any, int] = {}

    def read(self, asked: Asked) -> ForwardOutput:
        """The forward's output.

        Args:
            asked: what is to be read.
        """
        device = asked.tokens.device
        count = lanes(device)
        whole = asked.keep or asked.hidden is not None or device.type != "cpu"
        readings = [] if whole else asked.shared(count)
        if count == 1 and len(asked.tokens) > MOST_SAMPLES and readings:
            # Few at a time stay in the cache, and have recordings: a tenth less time than all at once.
            return _joined(readings, [reading.made(self.transformer) for reading in readings])
        if count > 1 and readings:
            if all(reading.plays(self.transformer) for reading in readings):
                with one_thread(device):
                    return _joined(readings, in_lanes([partial(reading.made, self.transformer) for reading in readings], device))
            times = self._times[asked.kind] = self._times.get(asked.kind, 0) + 1
            if times % CALLS_BEFORE == 0:
                with one_thread(device):
                    return _joined(readings, [reading.made(self.transformer, at_once=True) for reading in readings])
        readings = asked.in_one_piece()
        with all_threads(device):
            return _joined(readings, [reading.made(self.transformer, keep=asked.keep) for reading in readings])


def _joined(readings: Sequence[_Reading], made: Sequence[TransformerOutput]) -> ForwardOutput:
    both = list(zip(readings, made, strict=True))
    cond = [one.logits[: reading.conditional] for reading, one in both if reading.conditional]
    uncond = [one.logits[reading.conditional :] for reading, one in both if reading.conditional < len(one.logits)]
    attention = [one.attention for one in made if one.attention is not None]
    full = [one.attention_full for one in made if one.attention_full is not None]
    features = tuple(one.features for one in made if one.features is not None)
    return ForwardOutput(
        _all(cond),
        _all(uncond) if uncond else None,
        _all(attention) if attention else None,
        _all(full) if full else None,
        features or None,
    )


def _all(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
