"""Large models on the page and through its functions: options, own settings, frames and presets, on a tiny checkpoint in a folder."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.factories import make_trace
from tests.late import late
from tests.tiny_checkpoints import write_meissonic
from uncage_demo.backends.options import AUTHORS_NEGATIVE, TRACE_KEY, ModelOptions, named, without_options
from uncage_demo.cli.main import build_parser, main
from uncage_demo.config import DecodingConfig
from uncage_demo.trace.frames import FRAMES_KEY, frames_told, recorded_frames
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.ui import asked
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import about, check_options, model_choices, own_settings
from uncage_demo.ui.settings import Settings, from_query, settings_of_traces, to_query

gr, api, panels = late("gradio"), late("uncage_demo.ui.api"), late("uncage_demo.ui.panel")

TEXT = "a red turtle and a blue apple"
LOADED = ModelOptions(image_size_px=(32, 32), negative_prompt="dim")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("large") / "tiny-meissonic", downsample=True)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    monkeypatch.delenv("UNCAGE_MODELS", raising=False)


def panel_of(model: str) -> Any:
    with gr.Blocks():
        return panels.build_panel(model_choices(), model)[0]


def values_of(panel: Any, shown: list[Any]) -> list[Any]:
    """What the inputs hold after an update."""
    return [
        given["value"] if isinstance(given, dict) and "__type__" in given else given for given, _ in zip(shown, panel.inputs, strict=True)
    ]


def run_of(handlers: Handlers, chosen: Settings, **more: Any) -> tuple[dict[str, Any], Trace]:
    messages = [json.loads(told) for told, _ in handlers.generate(TEXT, "", chosen, **more) if told]
    assert messages[-1]["kind"] == "traces"
    return messages[-1], handlers.store.get(messages[-1]["ids"][0]).trace


def test_one_name_for_a_model_and_its_options() -> None:
    for model, options in (
        ("embedded", ModelOptions()),
        ("embedded-web", ModelOptions(age="1/5")),
        ("/data/a model@home", ModelOptions("bf16", 512, negative_prompt='a "quoted" @{text}', offload=True)),
    ):
        assert without_options(named(model, options)) == (model, options)


def test_a_run_of_a_folder_with_options_and_what_reproduces_it(folder: Path, allowed: None, tmp_path: Path, capsys: Any) -> None:
    handlers = Handlers()
    chosen = Settings(str(folder), ("uncage",), {"num_steps": 3}, options=LOADED, frames="final")
    told, trace = run_of(handlers, chosen)
    assert trace.model.image_size_px == (32, 32)
    assert ModelOptions.from_json(trace.versions[TRACE_KEY]) == LOADED
    assert trace.frames is None
    assert (trace.config["guidance_scale"], trace.config["schedule"]) == (9.0, "cosine_float32")
    words = shlex.split(told["command"])
    assert words[words.index("--model") + 1] == str(folder)
    assert {"--image-size=32x32", "--negative-prompt=dim"} <= set(words)
    assert words[words.index("--frames") + 1] == "final"
    assert "frames='final'" in told["python"]
    assert f"ud.load_backend({str(folder)!r}, image_size_px=(32, 32), negative_prompt='dim')" in told["python"]
    # the printed command gives the very tokens
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert main([*words[3 : words.index("--")], "--formats", "npz", "--quiet", *words[words.index("--") :]]) == 0
    again = Trace.load(next((tmp_path / "again").rglob("*.npz")))
    assert again.id == trace.id
    printed = capsys.readouterr().out
    assert "--frames final" in printed
    # so does the Python
    made: dict[str, Any] = {}
    exec(told["python"], made)
    assert made["traces"][0].id == trace.id
    # and the link restores every choice
    assert from_query(told["query"])[1] == Settings(str(folder), ("uncage",), {**chosen.shared, "seed": 0}, options=LOADED, frames="final")
    # a branch of it finds the model that is loaded, though its trace knows no path
    messages = [json.loads(one) for one in handlers.branch(told["ids"], {"run": 0, "step": 1, "order": "meissonic"}) if one]
    assert messages[-1]["kind"] == "traces"


def test_folders_and_what_names_them_are_refused_where_the_owner_does_not_allow_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNCAGE_FOLDERS", raising=False)
    with pytest.raises(ValueError, match="is not offered here"):
        list(Handlers().generate(TEXT, "", Settings(str(folder), ("uncage",), {"num_steps": 2})))
    with pytest.raises(ValueError, match=r"text_encoder='/etc': not an option of Meissonic 1024 here; it has dtype, image_size_px"):
        check_options("meissonic", ModelOptions(text_encoder="/etc"))
    with pytest.raises(ValueError, match=r"image_size_px=.*not an option of Emoji scenes"):
        list(Handlers().generate("a cat", "", Settings("embedded", ("uncage",), {"num_steps": 2}, options=LOADED)))
    monkeypatch.setenv("UNCAGE_FOLDERS", "1")
    monkeypatch.setenv("UNCAGE_MODELS", "embedded")
    with pytest.raises(ValueError, match="is not offered here"):
        about(str(folder))


def test_own_settings_are_told_before_a_model_is_loaded(
    folder: Path, allowed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (own_settings("meissonic").num_steps, own_settings("monetico").num_steps, own_settings("amused-512").num_steps) == (64, 48, 12)
    assert own_settings(str(folder)).num_steps == 64
    assert own_settings(named(str(folder), ModelOptions(family="dimo"))).num_steps == 1
    told = about(str(folder))
    assert (told["present"], told["settings"]["guidance_scale"]) == (True, 9.0)
    assert "family" in told["options"]
    nested = tmp_path / "repository"
    shutil.copytree(folder, nested / "512")
    assert about(str(nested))["present"]  # as a whole repository is laid out
    for part in ("vqvae", "tokenizer", "scheduler", "text_encoder"):
        shutil.rmtree(nested / "512" / part)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert not about(str(nested))["present"]
    assert about("meissonic")["settings"]["negative_prompt"] == AUTHORS_NEGATIVE
    assert about("embedded")["options"] == []


@pytest.mark.parametrize(
    ("model", "steps", "guidance", "noise"), [("meissonic", 64, "9", ("2", "0")), ("amused-256", 12, "10", ("2", "0"))]
)
def test_switching_the_model_shows_its_own_settings(model: str, steps: int, guidance: str, noise: tuple[str, str]) -> None:
    assert panels.shown_values("num_steps", None, model) == [steps]
    assert panels.shown_values("guidance_scale", None, model)[0]["placeholder"] == f"the model's own: {guidance}"
    assert [one["placeholder"] for one in panels.shown_values("noise_temperature", None, model)] == [
        f"the model's own: {end}" for end in noise
    ]
    assert ("the model's own: cosine_float32", "") in panels.shown_values("schedule", None, model)[0]["choices"]


def test_the_panel_gives_back_what_it_was_given(folder: Path, allowed: None) -> None:
    panel = panel_of("embedded")
    chosen = Settings(
        str(folder), ("halton", "uncage"), {"num_steps": 5, "noise_temperature": (2.0, 0.5)}, options=LOADED, frames="every 4"
    )
    back = panel.settings(values_of(panel, panel.values(chosen)))
    assert (back.model, back.orders, back.options, back.frames) == (chosen.model, chosen.orders, chosen.options, chosen.frames)
    assert back.configs() == chosen.configs()
    assert panel.settings([component.value for component in panel.inputs]).options == ModelOptions()
    assert panel.settings(values_of(panel, panel.values(Settings()))).configs() == Settings(shared={"num_steps": 16}).configs()


def test_presets_on_the_page_keep_the_model_and_its_options(folder: Path, allowed: None) -> None:
    panel = panel_of("embedded")
    chosen = Settings(str(folder), ("halton", "uncage"), {"num_steps": 5, "seed": 3, "contrast_blur": 1.0}, options=LOADED, frames="final")
    values = values_of(panel, panel.values(chosen))
    after = panel.settings(values_of(panel, panel.apply_preset("strong", values)))
    assert (after.options, after.frames, after.orders) == (LOADED, "final", ("meissonic", "uncage"))
    assert (after.shared["contrast_weight"], after.shared["num_steps"], after.shared["seed"]) == (12.0, 5, 3)
    assert after.shared["contrast_blur"] is None
    own = panel.settings(values_of(panel, panel.apply_preset("authors", values)))
    assert own.shared["num_steps"] == 64  # the model's own again


def test_programs_choose_options_frames_and_presets(folder: Path, allowed: None) -> None:
    shared = asked.shared_settings(0, -1, 3.0, -1, -1, "both")
    chosen = asked.chosen_settings(
        str(folder), ("uncage",), shared, "", "maskgit", '{"image_size_px": 32, "negative_prompt": "dim"}', "every 2"
    )
    assert (chosen.orders, chosen.options, chosen.frames) == (("maskgit",), LOADED, "every 2")
    config = chosen.configs()[0]
    assert (config.num_steps, config.guidance_scale, config.contrast_weight) == (12, 1.0, 3.0)
    # what is not at its usual value counts before the preset
    other = asked.chosen_settings("embedded", ("halton",), {**shared, "num_steps": 9}, "", "maskgit", "", "")
    assert (other.orders, other.configs()[0].num_steps, other.frames) == (("halton",), 9, "all")
    assert asked.chosen_settings("embedded", ("meissonic", "uncage"), shared, "", "order_matters", "", "all").orders == ("random", "halton")
    made = [
        one for one in api._finished(Handlers(), TEXT, Settings(str(folder), ("uncage",), {"num_steps": 2}, "", LOADED, "final")) if one
    ]
    (picture, _, said), *_ = made[-1]
    assert Path(picture).is_file()
    assert (said["model"]["options"]["image_size_px"], said["frames"]) == ((32, 32), "final")
    for wrong, match in (("[]", "give an object"), ('{"speed": 1}', "give an object with some of dtype"), ('{"dtype": "int8"}', "dtype=")):
        with pytest.raises(ValueError, match=match):
            asked.chosen_settings("meissonic", ("uncage",), shared, "", "", wrong, "all")
    with pytest.raises(ValueError, match="frames='sometimes'"):
        asked.chosen_settings("meissonic", ("uncage",), shared, "", "", "", "sometimes")
    with pytest.raises(ValueError, match="preset='best': choose one of"):
        asked.chosen_settings("meissonic", ("uncage",), shared, "", "best", "", "all")


def test_frames_travel_in_traces_commands_and_links() -> None:
    traces = [make_trace(steps=4, order=order) for order in ("meissonic", "uncage")]
    assert "--frames" not in command_line(traces)
    for value, said in (("final", "final"), (False, "final"), ("every 8", "every 8"), (8, "every 8"), (True, "all")):
        assert frames_told(recorded_frames(value)) == said
    traces[0].versions[FRAMES_KEY] = traces[1].versions[FRAMES_KEY] = "every 8"
    words = shlex.split(command_line(traces))
    assert build_parser(words[3:]).parse_args(words[3:]).frames == "every 8"
    assert "ud.compare(backend, prompt, configs, frames='every 8')" in python_snippet(traces)
    chosen = settings_of_traces(traces)
    assert chosen.frames == from_query(to_query("a cat", chosen))[1].frames == "every 8"
    traces[1].versions[FRAMES_KEY] = "final"
    assert len(command_line(traces).splitlines()) == 2  # one command cannot say both
    traces[1].versions[FRAMES_KEY] = "rm -rf"  # from a file, so anything
    assert settings_of_traces(traces[1:]).frames == "all"


def test_the_command_line_compares_a_presets_own_orders() -> None:
    from uncage_demo.cli.arguments import chosen_orders

    def orders(*given: str) -> tuple[str, ...]:
        return chosen_orders(build_parser().parse_args(["compare", "a cat", *given]))

    assert orders() == ("meissonic", "uncage")
    assert orders("--preset", "order_matters") == ("random", "halton")
    assert orders("--preset", "order_matters", "--orders", "margin") == ("margin",)
    assert DecodingConfig() == Settings().configs()[0]
