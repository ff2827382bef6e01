"""What a large model may be loaded with: values, where each takes effect, and what traces, result lines and commands say of it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import make_trace
from tests.tiny_checkpoints import write_meissonic
from uncage_demo.backends import load_backend
from uncage_demo.backends.arguments import parse_size
from uncage_demo.backends.large.download import ModelUnavailable
from uncage_demo.backends.options import DTYPES, MAX_NEGATIVE_CHARS, TRACE_KEY, ModelOptions, model_facts
from uncage_demo.bench.experiments import Experiment
from uncage_demo.bench.records import image_key, read_records
from uncage_demo.bench.run import replay, run_experiment
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.branching import branch
from uncage_demo.cli import main as cli
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet

TEXT = "a red turtle and a blue apple"
CONFIG = DecodingConfig("meissonic", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("checkpoints") / "tiny-meissonic", downsample=True)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return load_backend(str(folder), image_size_px=(16, 24))


@pytest.fixture(scope="module")
def negative(folder: Path) -> Any:
    return load_backend(str(folder), image_size_px=(16, 24), negative_prompt="blurry, -dim")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "int8"}, "dtype='int8': use float32, bfloat16 or float16"),
    ({"image_size_px": 0}, "image_size_px=0: give"),
    ({"image_size_px": 5000}, "image_size_px=5000: give"),
    ({"image_size_px": True}, "image_size_px=True: give"),
    ({"image_size_px": "512"}, "image_size_px='512': give"),
    ({"image_size_px": (512, 512, 3)}, "each side 1 to 4096"),
    ({"image_size_px": (512, 7.5)}, "each side 1 to 4096"),
    ({"text_encoder": ""}, "text_encoder='': give a folder or a hub id"),
    ({"text_encoder": 3}, "text_encoder=3: give a folder or a hub id"),
    ({"negative_prompt": 3}, "negative_prompt=3: give a text"),
    ({"lora": " "}, "lora=' ': give a folder or a hub id"),
    ({"family": "other"}, "family='other': choose one of meissonic, muddit, dimo, amused"),
    ({"negative_prompt": "a" * (MAX_NEGATIVE_CHARS + 1)}, "at most 500 characters"),
    ({"offload": 1}, "offload=1: give True or False"),
    ({"compile": "yes"}, "compile='yes': give True or False"),
]


@pytest.mark.parametrize(("options", "says"), WRONG)
def test_bad_values_are_named_before_anything_is_loaded(options: dict[str, Any], says: str) -> None:
    for model in ("embedded", "no-such-model"):
        with pytest.raises(ValueError, match=says.replace("(", r"\(")):
            load_backend(model, **options)


@pytest.mark.parametrize(
    "option",
    [{"dtype": "float16"}, {"image_size_px": 192}, {"text_encoder": "a/b"}, {"negative_prompt": "x"}, {"offload": True}, {"compile": True}],
)
def test_the_embedded_model_has_none_of_them(option: dict[str, Any]) -> None:
    name = next(iter(option))
    shipped = Path(__file__).resolve().parents[1] / "data" / "tiny-model"
    for model in ("embedded", str(shipped)):
        with pytest.raises(ValueError, match=f"^{name}=.*embedded model,? has no such option"):
            load_backend(model, **option)
    assert load_backend(str(shipped), dtype="float32", download=False).info.id == "embedded"


def test_short_and_long_names_and_torch_dtypes_are_one() -> None:
    for name, full in DTYPES.items():
        assert ModelOptions(dtype=name) == ModelOptions(dtype=full) == ModelOptions(dtype=str(getattr(torch, full)))
    assert ModelOptions(image_size_px=512) == ModelOptions(image_size_px=(512, 512))
    assert ModelOptions().given() == {}


def test_a_negative_prompt_that_is_not_read_to_its_end_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"negative_prompt: the text encoder does not read its end, '(red )*red'; give a shorter"):
        load_backend(str(folder), image_size_px=16, negative_prompt="red " * 76 + "red")


def test_the_usual_size_is_no_option(folder: Path, plain: Any) -> None:
    usual = load_backend(str(folder), image_size_px=1024)
    assert usual.options == ModelOptions()
    assert model_facts(usual) == {"id": "tiny-meissonic", "weight_hash": plain.info.weight_hash}
    assert model_facts(plain)["options"] == {"image_size_px": [16, 24]}


def test_options_come_back_from_text_and_nothing_else_does(folder: Path) -> None:
    given = ModelOptions("float16", (32, 48), "owner/encoder", "dim 🐢\n", True, True)
    assert ModelOptions.from_json(given.to_text()) == given
    assert ModelOptions.from_json(given.deciding()) == replace(given, text_encoder=None, offload=False)
    assert ModelOptions.from_json(None) == ModelOptions.from_json("") == ModelOptions.from_json(ModelOptions().to_text()) == ModelOptions()
    local = ModelOptions(text_encoder=str(folder / "text_encoder"))
    assert json.loads(local.to_text()) == {"text_encoder": "text_encoder"}, "no path of this machine goes into a trace"
    for wrong in ("{", "[]", "3", '{"device": "cpu"}', '{"offload": 1}', '{"image_size_px": "x"}', "[" * 100_000, 7, {"dtype": {}}):
        with pytest.raises(ValueError, match=r"give|use"):
            ModelOptions.from_json(wrong)


def test_a_branch_needs_the_model_as_it_was(folder: Path, plain: Any, negative: Any, tmp_path: Path) -> None:
    made = generate(negative, parse_prompt(TEXT, negative), CONFIG)
    made.save(tmp_path / "trace.npz")
    trace = Trace.load(tmp_path / "trace.npz")
    assert ModelOptions.from_json(trace.versions[TRACE_KEY]) == negative.options
    np.testing.assert_array_equal(branch(negative, trace, 1).tokens, trace.tokens)
    with pytest.raises(ValueError, match=r"negative_prompt='blurry, -dim', the model here is loaded with 'worst quality"):
        branch(plain, trace, 1)
    trace.versions[TRACE_KEY] = "{"
    with pytest.raises(ValueError, match="model options"):
        branch(negative, trace, 1)


def test_commands_and_python_name_the_options_of_a_trace() -> None:
    given = ModelOptions("float16", (32, 48), "owner/encoder", '-a "b"; rm x', True, True)
    trace = make_trace(steps=3)
    trace.versions[TRACE_KEY] = given.to_text()
    parsed = cli.build_parser().parse_args(shlex.split(command_line([trace]))[3:])
    assert cli_options(parsed) == given
    called: list[tuple[str, dict[str, Any]]] = []
    scope = SimpleNamespace(load_backend=lambda name, **options: called.append((name, options)))
    exec(python_snippet([trace]).split("\n")[2], {"ud": scope})
    assert called == [(trace.model.id, given.given())]
    with pytest.raises(ValueError, match="different prompts or models"):
        command_line([trace, make_trace(steps=3)])
    trace.versions[TRACE_KEY] = '{"compile": "$(x)"}'
    with pytest.raises(ValueError, match="give True or False"):
        command_line([trace])


def cli_options(parsed: Any) -> ModelOptions:
    from uncage_demo.backends.arguments import options_from

    return options_from(parsed)


@pytest.mark.parametrize("command", ["compare", "generate", "bench", "bench-replay", "speed"])
def test_every_command_that_loads_a_model_has_them(command: str) -> None:
    needed = {"bench": ["--out", "x.jsonl"], "speed": []}.get(command, ["text"])
    given = ["--image-size", "64x32", "--negative-prompt=-dim", "--offload", "--compile", "--dtype", "bfloat16", "--text-encoder", "a/b"]
    options = cli.build_parser([command]).parse_args([command, *needed, *given])
    assert cli_options(options) == ModelOptions("bfloat16", (64, 32), "a/b", "-dim", True, True)
    assert not options.no_download


def test_sizes_are_read() -> None:
    assert parse_size("512") == (512, 512)
    assert parse_size(" 64x32 ") == (64, 32)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--compile"], "compile=True: the embedded model has no such option"),
        (["--image-size", "12x"], "argument --image-size: '12x': give one number or HEIGHTxWIDTH"),
        (["--image-size", "٣"], "argument --image-size"),
        (["--image-size", "9000"], "image_size_px=(9000, 9000): give"),
        (["--model", "FOLDER", "--image-size", "30"], "30 × 30 px: both sides must be multiples of 8"),
        (["--device", "mps"], "models do not run on mps"),
        (["--device", "toaster"], "device='toaster': use auto, cpu, cuda or cuda:N"),
        (["--device", "meta"], "device='meta': use auto, cpu, cuda or cuda:N"),
        (["--device", "cuda:77"], "device='cuda:77': this machine has"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    given = [str(folder) if word == "FOLDER" else word for word in options]
    try:
        status: Any = cli.main(["generate", TEXT, "--quiet", "--out", str(tmp_path / "run"), *given])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_is_fetched_where_it_is_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert cli.main(["generate", TEXT, "--model", "owner/name", "--no-download", "--out", str(tmp_path / "run")]) == 2
    assert "downloading was not asked for" in capsys.readouterr().err
    with pytest.raises(ModelUnavailable, match="not asked for"):
        load_backend("owner/name", download=False)


def test_the_command_line_loads_what_it_is_told_and_prints_what_repeats_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    given = ["--image-size", "16x24", "--negative-prompt=blurry, -dim", "--offload", "--compile", "--no-download"]
    given += ["--text-encoder", str(folder / "text_encoder"), "--dtype", "float32", "--device", "cpu"]
    out = tmp_path / "run"
    files = ["--num-steps", "2", "--formats", "npz", "--quiet"]
    assert cli.main(["generate", TEXT, "--model", str(folder), "--order", "meissonic", *given, *files, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    trace = Trace.load(out / "meissonic.npz")
    assert trace.image.shape == (16, 24, 3)
    said = ModelOptions("float32", (16, 24), "text_encoder", "blurry, -dim", True, True)
    assert ModelOptions.from_json(trace.versions[TRACE_KEY]) == said
    parts = shlex.split(next(text for text in told.split("\n") if text.startswith("python -m uncage_demo")))[3:]
    parts[parts.index("--out") + 1] = str(tmp_path / "again")
    assert cli.main([*parts[:-2], *files, *parts[-2:]]) == 0
    assert Trace.load(tmp_path / "again" / "meissonic.npz").id == trace.id
    assert f"ud.load_backend({str(folder)!r}, dtype='float32', image_size_px=(16, 24)" in told


class Mean:
    """A scorer that needs no model."""

    name = "mean"

    def score(self, images: np.ndarray, prompts: Any) -> list[dict[str, Any]]:
        return [{"metrics": {"correct": int(image.mean() > 127)}, "scorer": "mean 1"} for image in images]


def test_result_lines_tell_the_options_and_are_made_again_with_them(
    folder: Path, plain: Any, negative: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Experiment("mine", "Mine", {"meissonic": CONFIG}, "meissonic")
    item, path = BenchPrompt(TEXT, "suite", "objects", TEXT), tmp_path / "results.jsonl"
    for backend in (plain, negative):
        assert run_experiment(backend, experiment, [item], [0], path, Mean()).made == 1
    small, other = read_records(path)
    assert small["model"]["options"] == {"image_size_px": [16, 24]}
    assert other["model"]["options"] == {"image_size_px": [16, 24], "negative_prompt": "blurry, -dim"}
    with pytest.raises(ValueError, match=r"the line was made with the model options .*blurry"):
        replay(plain, other)
    assert cli.main(["bench-replay", other["key"], "--results", str(path), "--model", str(folder)]) == 0
    assert "identical, bit for bit" in capsys.readouterr().out


def test_result_lines_of_models_without_options_keep_their_keys() -> None:
    facts = ("a cat", {"seed": 0}, "embedded", "ffff", "detector")
    assert image_key(*facts) == image_key(*facts, options={}) == "937cdba1d5f751ab"
    assert image_key(*facts, options={"image_size_px": [16, 24]}) != image_key(*facts)


def test_named_negative_prompts_and_which_model_has_which_option() -> None:
    from uncage_demo.backends.options import AUTHORS_NEGATIVE, FAMILIES, OPTIONS, options_for

    assert ModelOptions(negative_prompt="authors").negative_prompt == AUTHORS_NEGATIVE
    assert ModelOptions(negative_prompt="").given() == {"negative_prompt": ""}
    assert AUTHORS_NEGATIVE in next(one.help for one in OPTIONS if one.name == "negative_prompt")
    assert options_for("embedded") == ()
    assert options_for(None) == OPTIONS
    names = {family: [one.name for one in options_for(family)] for family in FAMILIES}
    assert [family for family in FAMILIES if "lora" in names[family]] == ["amused"]
    assert "negative_prompt" not in names["dimo"]  # drawn without guidance, so there is nothing to steer away from
    assert not {"text_encoder", "lora", "family"} & {one.name for one in options_for("amused", local=False)}
