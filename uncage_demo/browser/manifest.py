"""What the browser must know of a model beside its graphs: sizes, words, thresholds, titles. Derived here, so that it stands once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from uncage_demo.backends.embedded import backend as embedded
from uncage_demo.backends.embedded import verdict, vocab
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.options import recorded
from uncage_demo.orders.table import ORDERS, order_choices
from uncage_demo.player.packing import array
from uncage_demo.render.palette import DIVERGING_MAP, ORDER_MAP, SEQUENTIAL_MAP, color_table, subject_colors, subject_table

MANIFEST_VERSION = 4
NAME = "manifest.json"


def manifest_of(backend: EmbeddedBackend) -> dict[str, Any]:
    """Everything of an embedded model that the engine in the browser reads, JSON-able; its files come from `export_model`.

    Args:
        backend: the model.
    """
    transformer = backend.transformer
    return {
        "version": MANIFEST_VERSION,
        "model": asdict(backend.info),
        "recorded": recorded(backend),
        "blur": backend.default_blur,
        "attention_heads": [list(pair) for pair in backend.config.get("attention_heads", ())],
        "mask_id": backend.mask_id,
        "text_length": transformer.text_length,
        "words": list(vocab.WORDS),
        "aliases": dict(vocab.ALIASES),
        # A word that is read over keeps its place in the text with the id of padding.
        "read_over": [word for word in vocab.FUNCTION_WORDS if word not in vocab.CAPTION_WORDS],
        "ids": {"pad": vocab.PAD, "start": vocab.START, "end": vocab.END},
        "nouns": list(vocab.NOUNS),
        "plurals": {noun: vocab.plural(noun) for noun in vocab.NOUNS},
        "colors": list(vocab.COLORS),
        "places": dict(vocab.PLACE_SAID),
        "positions": dict(vocab.POSITION_SAID),
        "numbers": dict(vocab.NUMBERS),
        "most_objects": vocab.MOST_OBJECTS,
        "styles": list(embedded.STYLES),
        "papers": {place: list(rgb) for place, rgb in backend.papers.items()},
        "detector": {"threshold": embedded.DETECTOR_THRESHOLD, "rival": embedded.RIVAL_THRESHOLD, "object_cells": embedded.OBJECT_CELLS},
        "verdict": {
            "scorer": verdict.SCORER,
            "clearly_frac": verdict.CLEARLY_FRAC,
            "aside_frac": verdict.ASIDE_FRAC,
            "paper_tolerance": verdict.PAPER_TOLERANCE,
            "least_paper_frac": verdict.LEAST_PAPER_FRAC,
        },
        "orders": [
            {"name": name, "title": title, "about": ORDERS[name].about, "guided": ORDERS[name].guided} for title, name in order_choices()
        ],
        "display": {
            "tables": {
                "sequential": array(color_table(SEQUENTIAL_MAP)),
                "order": array(color_table(ORDER_MAP)),
                "diverging": array(color_table(DIVERGING_MAP)),
            },
            "subjects": [{"color": color, "ramp": array(subject_table(color))} for color in subject_colors(vocab.MOST_OBJECTS)],
        },
    }
