"""The page's inputs of a large model: for the model that is chosen and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.late import late
from uncage_demo.backends.options import AUTHORS_NEGATIVE, OPTIONS, ModelOptions
from uncage_demo.ui.models import option_facts as shown_for

gr, page = late("gradio"), late("uncage_demo.ui.model_options")


def test_only_what_a_model_has_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNCAGE_FOLDERS", raising=False)
    assert shown_for("embedded") == ()
    assert [one.name for one in shown_for("meissonic")] == ["dtype", "image_size_px", "negative_prompt", "offload", "compile"]
    assert "negative_prompt" not in [one.name for one in shown_for("dimo")]
    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    assert {"text_encoder", "lora"} <= {one.name for one in shown_for("amused-256")}
    assert "lora" not in {one.name for one in shown_for("meissonic")}
    with pytest.raises(ValueError, match="not offered here"):
        shown_for("other")


def test_a_folder_shows_what_its_family_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    monkeypatch.delenv("UNCAGE_MODELS", raising=False)
    shown = {}
    for family, config in (("meissonic", "Transformer2DModel"), ("muddit", "SymmetricTransformer2DModel"), ("amused", "UVit2DModel")):
        folder = tmp_path / family / "transformer"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"_class_name": config}))
        shown[family] = {one.name for one in shown_for(str(folder.parent))}
    assert shown["meissonic"] - shown["muddit"] == {"family"}  # a Di[M]O looks like a Meissonic
    assert shown["amused"] - shown["muddit"] == {"lora"}
    assert {"text_encoder", "negative_prompt", "dtype"} <= shown["muddit"]


def test_inputs_follow_the_table_and_the_model() -> None:
    with gr.Blocks():
        inputs = page.build_inputs("meissonic")
    assert list(inputs) == [one.name for one in OPTIONS]
    assert all(inputs[one.name].info.lower() == f"{one.help}.".lower() and inputs[one.name].info[0].isupper() for one in OPTIONS)
    assert ("the model's own: " + AUTHORS_NEGATIVE, "") in inputs["negative_prompt"].choices
    assert {"authors", "empty"} <= {value for _, value in inputs["negative_prompt"].choices}
    assert inputs["negative_prompt"].visible
    assert not inputs["text_encoder"].visible
    assert not inputs["family"].visible
    changes = dict(zip(inputs, page.updates_for("embedded"), strict=True))
    assert not any(change["visible"] for change in changes.values())
    shown = page.updates_for("amused-256", ModelOptions(image_size_px=(256, 384), negative_prompt=AUTHORS_NEGATIVE, offload=True))
    values = dict(zip(inputs, shown, strict=True))
    assert values["negative_prompt"]["choices"][0] == ("the model's own: an empty text", "")
    assert [values[name]["value"] for name in ("image_size_px", "negative_prompt", "offload", "dtype")] == ["256x384", "authors", True, ""]
    back = page.options_from("amused-256", {name: update["value"] for name, update in values.items()})
    assert back == ModelOptions(image_size_px=(256, 384), negative_prompt=AUTHORS_NEGATIVE, offload=True)


def test_what_is_entered_becomes_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNCAGE_FOLDERS", raising=False)
    blank = {one.name: False if one.kind == "switch" else "" for one in OPTIONS}
    assert page.options_from("meissonic", blank) == ModelOptions()
    given = blank | {"dtype": "float16", "image_size_px": "512x768", "negative_prompt": "authors", "offload": True, "text_encoder": "/etc"}
    want = ModelOptions("float16", (512, 768), None, AUTHORS_NEGATIVE, True)
    assert page.options_from("meissonic", given) == want  # a folder of the server is nobody's business here
    assert page.options_from("embedded", given) == ModelOptions()
    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    assert page.options_from("meissonic", given).text_encoder == "/etc"
    with pytest.raises(ValueError, match=r"image_size_px='wide': give one number"):
        page.options_from("meissonic", blank | {"image_size_px": "wide"})
    with pytest.raises(ValueError, match="each side 1 to 4096"):
        page.options_from("meissonic", blank | {"image_size_px": "9000"})
