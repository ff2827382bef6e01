"""A large model through everything that the embedded one goes through: comparison, trace file, diagnosis, player, branch, command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_checkpoints import write_tiny
from uncage_demo.backends.large.hub import load_large
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare
from uncage_demo.trace.record import Trace

TEXT = "a red turtle and a blue apple"


@pytest.fixture(scope="module", params=["meissonic", "amused"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def backend(folder: Path) -> Any:
    return load_large(str(folder), image_size_px=32)


@pytest.fixture(scope="module")
def traces(backend: Any) -> list[Trace]:
    prompt = parse_prompt(TEXT, backend)
    # Random weights attend almost evenly, so what little contrast there is gets stretched and weighed heavily.
    guided = DecodingConfig("uncage", 4, contrast_steps=2, contrast_weight=50.0, contrast_rescale="minmax")
    return compare(backend, prompt, [DecodingConfig("meissonic", 4), guided])


def test_traces_of_a_comparison(traces: list[Trace], tmp_path: Path) -> None:
    baseline, guided = traces
    assert not np.array_equal(baseline.unmask_step, guided.unmask_step)
    assert baseline.frames is not None
    assert baseline.frames.shape == (4, 32, 32, 3)
    path = tmp_path / "trace.npz"
    guided.save(path)
    again = Trace.load(path)
    assert again.model == guided.model
    np.testing.assert_array_equal(again.image, guided.image)
    np.testing.assert_array_equal(again.word_maps(1), guided.word_maps(1))
    assert guided.word_maps(0).sum(axis=1).min() > 0


def test_diagnosis_and_player_take_them(traces: list[Trace]) -> None:
    assert isinstance(diagnose(traces[1]), list)
    assert build_payload(traces)


def test_a_branch_without_edits_is_the_parent_and_a_hidden_word_changes_it(backend: Any, traces: list[Trace]) -> None:
    parent = traces[1]
    same = branch(backend, parent, 1)
    np.testing.assert_array_equal(same.tokens, parent.tokens)
    word = next(i for i, word in enumerate(parent.prompt.words) if word.text == "turtle")
    hidden = branch(backend, parent, 1, suppress_word=word)
    attention, columns = hidden.steps[1].attention, hidden.columns
    assert attention is not None
    assert all((attention[columns.index(token)] == 0).all() for token in parent.prompt.words[word].tokens)
    before = parent.steps[1].attention
    assert before is not None
    assert not np.array_equal(attention, before)


def test_the_command_line_takes_a_folder(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from uncage_demo.cli import main as cli

    out = tmp_path / "run"
    options = [
        "--model",
        str(folder),
        "--image-size",
        "32",
        "--num-steps",
        "2",
        "--device",
        "cpu",
        "--formats",
        "npz",
        "--out",
        str(out),
        "--quiet",
    ]
    assert cli.main(["generate", TEXT, *options, "--frames", "every 2", "--preset", "authors", "--negative-prompt", "dim"]) == 0
    trace = Trace.load(next(path for path in out.rglob("*") if path.suffix == ".npz"))
    assert trace.versions["step_pictures"] == "every 2"
    assert (trace.config["order"], trace.config["schedule"]) == ("meissonic", "cosine_float32")
    assert list(trace.config["noise_temperature"]) == [2.0, 0.0]  # the authors', where the command says nothing
    assert '"negative_prompt": "dim"' in trace.versions["model_options"]
    assert cli.main(["generate", TEXT, *options, "--force", "--frames", "sometimes"]) == 2
    assert "frames='sometimes'" in capsys.readouterr().err


def test_what_a_long_prompt_loses_is_said_everywhere(
    folder: Path, backend: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from uncage_demo.bench import distributed
    from uncage_demo.cli import main as cli

    text = "a red turtle " + "red " * 70 + "and a blue apple"
    prompt = parse_prompt(text, backend)
    lost = prompt.truncated
    assert lost
    assert text.endswith(lost)
    trace = compare(backend, prompt, [DecodingConfig("meissonic", 2)])[0]
    assert trace.prompt.truncated == lost
    assert build_payload([trace])["prompt"]["truncated"] == lost
    # Guidance works with what was read: the apple was cut off, so it is no subject.
    assert [subject.noun for subject in prompt.subjects] == ["turtle"]
    guided = compare(backend, prompt, [DecodingConfig("uncage", 2)])[0]
    assert guided.prompt.truncated == lost

    common = ["--model", str(folder), "--image-size", "16", "--out", str(tmp_path / "run")]
    single = ["--num-steps", "2", "--device", "cpu", "--formats", "npz", "--quiet", "--order", "meissonic"]
    assert cli.main(["generate", text, *common, *single]) == 0
    assert repr(lost) in capsys.readouterr().err
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{text}\na turtle\n")
    assert (
        distributed.main([*common[:4], "--prompts", str(prompts), "--order", "halton", "--steps", "1", "--out", str(tmp_path / "many")])
        == 0
    )
    said = capsys.readouterr().err
    assert repr(lost) in said
    assert said.count("does not read the end of") == 1
