"""The flags that several commands share, and the profile that they and the environment resolve to."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hxbench.errors import InputError

if TYPE_CHECKING:
    from hxbench.plan.layers import Resolved

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_PROFILE = "smollm2-135m"

# Flag, key of the profile, what stands for its value, help. One list: a flag means the same in every command.
_PROFILE_FLAGS = (
    ("--url", "target.server", "URL", "Address of the server, such as http://127.0.0.1:8000."),
    ("--model", "target.model", "NAME", "Model name to ask for."),
    ("--protocol", "target.protocol", "NAME", "openai-chat, openai-completions or anthropic-messages."),
    ("--api-key-env", "target.api_key_env", "VARIABLE", "Name of the variable that holds the key."),
    ("--prompts", "workload.prompts", "SET", "Prompt set by name, or a JSONL file."),
    ("--max-tokens", "workload.output_tokens", "N", "Tokens to ask for in each answer."),
    ("--seed", "workload.seed", "N", "Seed of prompts, salt and arrivals."),
    ("--users", "load.users", "N", "Closed loop: users who wait for their answer."),
    ("--rate", "load.rate", "RATE", "Open loop: requests a second."),
    ("--arrivals", "load.arrivals", "NAME", "Open loop: constant, poisson, or gamma (with load.burstiness)."),
    ("--scale", "load.scale", "X", "Factor for users and rates; the verdict holds for the scaled load only."),
    ("--time-scale", "load.time_scale", "X", "Factor for the times of the load, warm-up and limits apart."),
    ("--duration", "load.measure", "TIME", "Length of the measured phase, such as 60s."),
    ("--requests", "load.requests", "N", "Number of measured requests."),
    ("--warmup", "load.warmup", "TIME", "Length of the warm-up, such as 10s."),
    ("--trials", "load.trials", "N", "Independent repetitions, server restarted between."),
)


def profile_flags(command: Command) -> Command:
    """Adds the argument PROFILE and the flags that change it."""
    return click.argument("profile", required=False)(_changing_flags(command))


def profiles_flags(command: Command) -> Command:
    """Adds the argument PROFILE, any number of times, and the flags that change each of them."""
    return click.argument("profiles", nargs=-1, metavar="[PROFILE]...")(_changing_flags(command))


def _changing_flags(command: Command) -> Command:
    for flag, _, value, text in reversed(_PROFILE_FLAGS):
        command = click.option(flag, metavar=value, help=text)(command)
    command = click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key of the profile; repeatable."
    )(command)
    return click.option(
        "--load",
        metavar="LOAD",
        help="Laid over the profile: baseline, step, stress, spike, soak, or a YAML file.",
    )(command)


def recording_flags(command: Command) -> Command:
    """Adds what only a command that measures asks: where to, and whether it may cost something."""
    command = click.option(
        "--yes", is_flag=True, help="Agree to more than 10 000 tokens from a server elsewhere."
    )(command)
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIRECTORY",
        help="Folder of the run, of several that which gets one for each; by default a new one in outputs/.",
    )(command)


def json_flag(what: str) -> Callable[[Command], Command]:
    """Returns what adds `--json`, which prints `what` as JSON and nothing else on stdout."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


run_directory = click.argument("directory", type=click.Path(path_type=Path))
run_directories = click.argument(
    "directories", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIRECTORY..."
)


def resolved(profile: str | None, flags: Mapping[str, Any]) -> "Resolved":
    """Returns the profile after all its layers; without a profile or a URL that of SmolLM2."""
    from hxbench.plan.layers import resolve

    if profile is None and not flags["url"]:
        profile = DEFAULT_PROFILE
    return resolve(profile, load=flags["load"], overrides=_overrides(flags), environ=os.environ)


def _overrides(flags: Mapping[str, Any]) -> dict[str, tuple[object, str]]:
    """Returns the keys that flags set, as the text they were given in, and the flag."""
    overrides: dict[str, tuple[object, str]] = {
        key: (flags[_name(flag)], flag)
        for flag, key, _, _ in _PROFILE_FLAGS
        if flags[_name(flag)] is not None
    }
    for setting in flags["settings"]:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: expected KEY=VALUE, such as load.users=4")
        overrides[key] = (value, "--set")
    return overrides


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")
