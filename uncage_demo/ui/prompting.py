"""What happens to a prompt before anything is decoded: it is read, shown as chips, corrected, and checked against the model."""

from __future__ import annotations

import json
from typing import Any

from uncage_demo.backends.base import Backend
from uncage_demo.prompt.parse import check_drawable, parse_prompt
from uncage_demo.types import Prompt
from uncage_demo.ui import chips
from uncage_demo.ui import settings as options
from uncage_demo.ui.models import ModelSlot


class PromptHandlers:
    """The page's handlers of prompts over one model slot."""

    slot: ModelSlot

    def understood_prompt(self, text: str, edits: str, model: str, allow_download: bool = False) -> tuple[Prompt, Backend]:
        """Parsed and corrected prompt with its backend, loaded; refused when it holds words that the model cannot draw.

        Raises:
            ValueError: for a blank or oversized prompt, corrections that do not fit it, or words outside the model's vocabulary.
        """
        text = (text or "").strip()
        if len(text) > options.MAX_PROMPT_CHARS:
            raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
        reader = self.slot.reader(model)
        check_drawable(parse_prompt(text, reader, chips.read_edits(edits)), reader)  # refuse before a model is loaded for nothing
        backend = self.slot.get(model, allow_download)
        prompt = parse_prompt(text, backend, chips.read_edits(edits))
        check_drawable(prompt, backend)
        return prompt, backend

    def chips_for(self, text: str, edits: str, model: str) -> tuple[str, str]:
        """(chips value, corrections kept) without loading a model; a blank prompt gives the vocabulary alone."""
        reader, title = self.slot.reader(model), self.slot.title(model)
        text = (text or "").strip()
        if len(text) > options.MAX_PROMPT_CHARS:
            raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
        note = ""
        try:
            prompt = parse_prompt(text, reader, chips.read_edits(edits))
        except ValueError as error:
            note = f"Corrections undone: {error}" if edits else ""
            edits = ""
            try:
                prompt = parse_prompt(text, reader)
            except ValueError as reason:  # blank, or nothing but punctuation: there are no words to show
                prompt, note = Prompt(text, (), ()), str(reason) if text else ""
        return chips.chips_value(prompt, reader.vocabulary, title, edits, note), edits

    def words_with(self, text: str, edits: str, model: str, said: str) -> str:
        """The chips value with a sentence beside the words; the sentence alone where the prompt cannot be read or the model is unknown."""
        try:
            shown = self.chips_for(text, edits, model)[0]
        except ValueError:
            shown = chips.chips_value(Prompt("", (), ()), None, model)
        return json.dumps({**json.loads(shown), "message": said}).replace("<", "\\u003c")

    def edited(self, text: str, edits: str, model: str, click: Any) -> tuple[str, str]:
        """(chips value, corrections kept) after a click on a chip."""
        prompt = parse_prompt((text or "").strip(), self.slot.reader(model), chips.read_edits(edits))
        vocabulary = self.slot.reader(model).vocabulary
        prompt = chips.edit(prompt, vocabulary, click.get("action"), click.get("word"), click.get("subject"))
        kept = chips.write_edits(prompt)
        return chips.chips_value(prompt, vocabulary, self.slot.title(model), kept), kept

    def replaced(self, text: str, model: str, click: Any) -> str:
        """The prompt's text after taking a suggestion for an unknown word."""
        text = (text or "").strip()
        return chips.replace_word(text, parse_prompt(text, self.slot.reader(model)), click.get("word"), click.get("text"))

    def rest_of(self, text: str, model: str) -> str:
        """What the model can draw of a prompt that names things it does not know, as a prompt.

        Raises:
            ValueError: when nothing of it can be drawn.
        """
        reader = self.slot.reader(model)
        prompt = parse_prompt((text or "").strip(), reader)
        rest = chips.rest_of(prompt, reader.vocabulary)
        if not rest:
            check_drawable(prompt, reader)
            raise ValueError("this prompt can be drawn as it is; look at the words again")
        return rest

    def added(self, text: str, model: str, click: Any) -> str:
        """The prompt's text after choosing a word that the model can draw."""
        return chips.add_word(text or "", click.get("kind"), click.get("text"), self.slot.reader(model).vocabulary)
