"""The command line: what is parsed, what is refused and how, what is written."""

import argparse
import json
import shlex
import subprocess
import sys

import pytest

from tests.command_line import fails, serve_toy, write_pair
from tests.factories import make_trace
from uncage_demo.cli import arguments
from uncage_demo.cli import main as cli
from uncage_demo.config import ORDER_NAMES, SETTINGS, DecodingConfig
from uncage_demo.export import DEFAULT_FORMATS, FORMATS
from uncage_demo.trace.lineage import Edits, Lineage
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path)


@pytest.fixture
def toy(monkeypatch):
    return serve_toy(monkeypatch)


def test_help_is_quick_and_names_every_command():
    code = (
        "import sys\nfrom uncage_demo.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'gradio', 'matplotlib', 'numpy', 'PIL', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("compare", "generate", "export", "reproduce", "app", "models", *cli.DELEGATED, *cli.PROGRAMS):
        assert f"\n    {name}" in done.stdout
    assert "examples" in done.stdout


@pytest.mark.parametrize("command", ["compare", "generate", "export", "reproduce", "app", "models"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 100


def _actions(command):
    subparsers = next(action for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return subparsers.choices[command]._actions


def test_options_map_one_to_one_onto_the_settings():
    options = cli.build_parser().parse_args(["generate", "a cat"])
    default = DecodingConfig()
    assert DecodingConfig(order="meissonic", seed=options.seed, **arguments.config_fields(options)) == default
    for name, setting in SETTINGS.items():
        if name not in ("order", "seed"):
            shown = [action for action in _actions("generate") if action.dest == name]
            assert [action.help.startswith(setting.help.replace("%", "%%")) for action in shown] == [True], name


def test_presets_by_name_and_what_is_given_beside_them():
    options = cli.build_parser().parse_args(["generate", "a cat", "--preset", "maskgit", "--num-steps", "9"])
    fields = arguments.config_fields(options)
    assert (fields["num_steps"], fields["guidance_scale"], arguments.chosen_order(options)) == (9, 1.0, "maskgit")
    options = cli.build_parser().parse_args(["generate", "a cat", "--preset", "maskgit", "--order", "halton"])
    assert (arguments.config_fields(options)["num_steps"], arguments.chosen_order(options)) == (12, "halton")
    assert arguments.chosen_order(cli.build_parser().parse_args(["generate", "a cat"])) == "uncage"


def test_every_setting_reaches_the_config():
    given = DecodingConfig(
        order="uncage", num_steps=7, seed=3, schedule="power", schedule_power=1.5, guidance_scale=2.5, guidance_schedule="ramp",
        token_temperature=0.5, noise_temperature=(0.7, 0.2), contrast_weight=-1.25, contrast_steps=4, contrast_blur=0.75,
        contrast_mode="negative", contrast_rescale="mean", use_confidence=False, use_noise=False, attention_source="layers:1-2",
        halton_randomize=True, anchor_radius=0.2, redraw_steps=2, redraw_words="own",
        revise="critic", revise_strength=0.25, guidance_interval=(0.1, 0.75), composition=0.5, self_guidance=0.25, logit_noise=2.0,
        differential=0.125, entropy_heat=0.5, entropy_decay=2.0, how_many="entropy", entropy_budget=3.0, confidence_threshold=0.5,
        spacing=2.0,
    )  # fmt: skip
    trace = make_trace(steps=7)
    trace.config = given.to_dict()
    parts = shlex.split(command_line([trace]))
    options = cli.build_parser().parse_args(parts[3:])
    assert DecodingConfig(order=options.order, seed=options.seed, **arguments.config_fields(options)) == given
    assert options.prompt == trace.prompt.text
    scope = {}
    exec(
        python_snippet([trace]).split("configs = ")[1].split("\ntraces")[0].join(["import uncage_demo.config as ud\nc = ", ""]),
        scope,
    )
    assert scope["c"] == [given]


@pytest.mark.parametrize("prompt", ["'; rm -rf / #", '"$(x)" `y`', "--force", "-a cat", "a\ncat"])
def test_a_prompt_never_becomes_a_command_or_an_option(prompt):
    trace = make_trace(prompt_text="a cat")
    trace.prompt = type(trace.prompt)(prompt, trace.prompt.tokens, trace.prompt.words, trace.prompt.subjects)
    parts = shlex.split(command_line([trace]))
    options = cli.build_parser().parse_args(parts[3:])
    assert options.prompt == prompt
    assert not options.force
    compile(python_snippet([trace]), "snippet", "exec")


def test_runs_that_differ_only_in_order_and_seed_are_one_command():
    runs = [make_trace(seed=s, order=o, steps=3) for s in (0, 1) for o in ("meissonic", "uncage")]
    line = command_line(runs)
    assert "\n" not in line
    assert "--orders meissonic,uncage --seeds 0,1" in line
    assert command_line(runs[:3]).count("\n") == 2, "not a full grid"
    different = [runs[0], make_trace(order="uncage", steps=3, contrast_weight=9.0)]
    assert "--contrast-weight 9.0" in command_line(different).split("\n")[1]


def test_a_branch_names_the_run_that_it_continues():
    trace = make_trace()
    trace.lineage = Lineage("abc", 3, Edits((), (), (), None), trace.config)
    words = shlex.split(command_line([trace]))
    assert json.loads(words[words.index("--branch") + 1]) == {"at_step": 3, "of": "abc"}
    with pytest.raises(ValueError, match="branched off run abc at step 3"):
        python_snippet([trace])


def test_orders_are_read_and_refused():
    assert arguments.parse_orders("uncage, halton") == ("uncage", "halton")
    for text in ("", "jet", "uncage,uncage", ",".join(ORDER_NAMES)):
        with pytest.raises(ValueError, match="order"):
            arguments.parse_orders(text)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "a cat", "--orders", "jet"], "order 'jet': choose from random"),
        (["compare", "a cat", "--num-steps", "0"], "num_steps=0: give a whole number from 1 to 256"),
        (["compare", "a cat", "--num-steps", "x"], "invalid int value: 'x'"),
        (["compare", "a cat", "--seed", "-1"], "seed=-1"),
        (["compare", "a cat", "--formats", "png,bmp"], "format 'bmp'"),
        (["compare", "a cat", "--subjects", "{"], "--subjects is not JSON"),
        (["compare", "a cat", "--subjects", "{}"], "--subjects: give a list"),
        (["compare", "a cat", "--stage-px", "9"], "stage_px=9"),
        (["compare", "a cat", "--step-s", "0"], "step_s=0"),
        (["generate", "a cat", "--order", "jet"], "invalid choice: 'jet'"),
        (["compare"], "required: prompt"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["app", "--port", "0"], "--port 0"),
        (["export", "nowhere.npz", "--to", "gif"], "nowhere.npz: No such file"),
    ],
)
def test_errors_are_one_line_that_names_the_value(capsys, arguments, says):
    assert says in fails(capsys, *arguments)


def test_debug_shows_the_traceback(capsys):
    assert cli.main(["--debug", "compare", "a cat", "--orders", "jet"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert cli.main(["compare", "a cat", "--orders", "jet", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_part_that_cannot_be_imported_is_not_hidden(capsys, monkeypatch):
    monkeypatch.setitem(cli.DELEGATED, "train", ("uncage_demo.no_such_part", "x"))
    assert "ModuleNotFoundError: No module named 'uncage_demo.no_such_part'" in fails(capsys, "train", "--help")


@pytest.mark.parametrize("command", [*cli.DELEGATED, *cli.PROGRAMS])
def test_commands_of_other_parts_answer(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert "--" in capsys.readouterr().out


def test_no_command_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "compare" in capsys.readouterr().out


def test_interruption_ends_with_130(capsys, monkeypatch, toy, tmp_path):
    import uncage_demo.runner

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(uncage_demo.runner, "stream_together", interrupted)
    assert cli.main(["compare", "a cat", "--out", str(tmp_path / "o"), "--quiet"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_several_seeds_get_a_folder_each_and_the_printed_command_repeats_them(capsys, tmp_path, toy):
    out = tmp_path / "run"
    arguments = ["generate", "a cat and a dog", "--seeds", "0,2", "--num-steps", "3", "--formats", "npz", "--quiet", "--out", str(out)]
    assert cli.main(arguments) == 0
    told = capsys.readouterr()
    assert told.err == ""
    ids = [Trace.load(out / f"seed-{s}" / "uncage.npz").id for s in (0, 2)]
    assert ids[0] != ids[1]
    line = next(text for text in told.out.split("\n") if text.startswith("python -m uncage_demo"))
    parts = shlex.split(line)[3:]
    parts[parts.index("--out") + 1] = str(tmp_path / "again")
    parts[parts.index("--model") + 1] = "embedded"
    assert cli.main(["--debug", *parts[:-2], "--formats", "npz", *parts[-2:]]) == 0
    assert [Trace.load(tmp_path / "again" / f"seed-{s}" / "uncage.npz").id for s in (0, 2)] == ids


def test_an_occupied_out_is_found_before_the_model_is_loaded(capsys, tmp_path, toy):
    (tmp_path / "file").write_text("x")
    assert "is a file" in fails(capsys, "compare", "a cat", "--out", str(tmp_path / "file"))
    assert toy == []


def test_export_refuses_files_that_are_no_traces(capsys, tmp_path, pair):
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"PK not really")
    assert "bad.npz" in fails(capsys, "export", str(bad), "--to", "gif")
    other = str(make_trace(prompt_text="a frog").save(tmp_path / "frog.npz"))
    assert "2 different prompts" in fails(capsys, "export", pair[0], other, "--to", "png", "--out", str(tmp_path / "x.png"))


def test_reproduce_prints_the_command(capsys, pair):
    assert cli.main(["reproduce", *pair]) == 0
    assert capsys.readouterr().out.startswith("python -m uncage_demo compare --model embedded --orders meissonic,uncage")
    assert cli.main(["reproduce", "--python", *pair]) == 0
    assert "ud.compare(backend, prompt, configs)" in capsys.readouterr().out


def test_default_formats_are_known():
    assert set(DEFAULT_FORMATS) == set(FORMATS) - {"mp4"}
