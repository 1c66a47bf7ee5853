"""The profile: what is measured, under which load, against which limits.

Frozen, and in base units: seconds, bytes, per second, fractions. Defaults are written as in a file.
"""

import json
import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import Field, model_validator

from hxbench import units
from hxbench.plan.alerts import Alerts
from hxbench.plan.fields import (
    EMBEDDED,
    REFERENCE,
    Body,
    Component,
    Cores,
    Duration,
    Headers,
    Line,
    Lines,
    Money,
    Name,
    Objectives,
    PromptTokens,
    Rate,
    Server,
    Share,
    Size,
    Tokens,
    UrlPath,
    VariableName,
    broken,
)
from hxbench.plan.lengths import MOST_OF_A_PROMPT
from hxbench.plan.load import Count, Load
from hxbench.plan.objectives import Objective
from hxbench.plan.prometheus import Prometheus
from hxbench.plan.section import Section, said

__all__ = [
    "EMBEDDED", "REFERENCE", "Cost", "Embedded", "Environment", "Instrument", "Keep", "Limits", "Load",
    "NotExecuted",
    "Profile", "Ready", "Target", "Workload", "json_schema", "known_keys", "takes_text",
]  # fmt: skip

BadInput = Literal["empty_prompt", "broken_json", "negative_max_tokens", "above_context"]
HttpStatus = Annotated[int, Field(ge=100, le=599)]


class Ready(Section):
    path: UrlPath = "/health"
    word: Line | None = None
    """What the body must hold besides status 200; null when 200 is enough."""
    within: Duration = said("60 s")


class Embedded(Section):
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """null: all cores but one."""
    slots: Annotated[int, Field(ge=1, le=256)] = 4
    """Requests served at the same time; more of them queue."""
    context: Annotated[int, Field(ge=64, le=10**6)] = 8192
    """Tokens all slots hold together."""
    prompt_cache: bool = False


class Target(Section):
    server: Server | None = None
    """embedded, reference (which tests the workbench), or a base address; null: to be given with --url."""
    protocol: Literal["openai-chat", "openai-completions", "anthropic-messages"] = "openai-chat"
    """The API dialect that is measured."""
    model: Line
    """The model's name in requests."""
    api_key_env: VariableName | None = None
    """The environment variable that holds the key."""
    headers_env: Headers = Field(default_factory=dict)
    """Header -> environment variable that holds its value."""
    extra_body: Body = Field(default_factory=dict)
    """Further members of each request's JSON."""
    ca_file: Line | None = None
    ready: Ready = Field(default_factory=Ready)
    embedded: Embedded = Field(default_factory=Embedded)


class Prefix(Section):
    tokens: Annotated[int, Field(ge=1, le=MOST_OF_A_PROMPT)]
    """Of workload.prompt_tokens, from the first on."""
    shared_by: Annotated[int, Field(ge=2, le=10**6)]
    """So many requests in a row begin with the same tokens."""


class Workload(Section):
    prompts: Line | None = None
    """A shipped set of prompts, or the path of a JSONL file; short where nothing else says what is asked."""
    classes: dict[Line, Share] | None = None
    """Prompt class -> its share of the requests; each prompt as often as another when not given."""
    prompt_tokens: PromptTokens | None = None
    """Instead of prompts: the tokens of texts made up for each request, written as output_tokens is."""
    prefix: Prefix | None = None
    """With prompt_tokens: how many of them requests share, as they share a system prompt."""
    output_tokens: Tokens = said(64)
    """How many to ask for, or {distribution: uniform, from, to}, or lognormal with median and sigma too."""
    stream: bool = True
    """Whether answers come token by token; when not, the first token is seen with the last."""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.0
    salt: bool = True
    """Puts a mark of its own in front of each prompt, so that no cache can answer.

    A text that is made up needs none: its own words differ from the first on, after the prefix; not if false.
    """
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1

    @model_validator(mode="after")
    def _says_once_what_is_asked(self) -> Self:
        for key in ("prompts", "classes"):
            if self.prompt_tokens is not None and getattr(self, key) is not None:
                raise broken((key,), "has no place beside workload.prompt_tokens; set it to null")
        if self.classes is not None and abs(sum(self.classes.values()) - 1) > 1e-9:
            total = units.exact(round(sum(self.classes.values()), 9), "share")
            raise broken(("classes",), f"expected shares that add up to 100 %, got {total}")
        if self.prefix is not None:
            self._has_room_for(self.prefix)
        return self

    def _has_room_for(self, prefix: Prefix) -> None:
        if self.prompt_tokens is None:
            raise broken(("prefix",), "has no place without workload.prompt_tokens")
        if prefix.tokens >= self.prompt_tokens.least:
            least = self.prompt_tokens.least
            raise broken(
                ("prefix", "tokens"),
                f"expected less than the {least} of the shortest prompt, got {prefix.tokens}",
            )


class Limits(Section):
    total: Duration = said("60 s")
    """How long a request may last in all."""
    first_token: Duration = said("30 s")
    """How long until its first token."""
    stall: Duration = said("10 s")
    """How long between two tokens."""
    requests: Count = 5000
    """Requests a run may send, warm-up and all trials included."""
    tokens: Annotated[int, Field(ge=1, le=10**12)] = 1_000_000
    """Output tokens a run may ask for."""


class Instrument(Section):
    priority: Literal["normal", "realtime"] = "normal"
    """realtime: load workers wake before all ordinary work. Linux; needs CAP_SYS_NICE or `ulimit -r 10`."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Load workers that share the schedule, where one core is not enough."""

    def dealt(self, number: int, worker: int) -> int:
        """Returns how many of `number` things a load worker has when they are dealt one after the other."""
        return len(range(worker, number, self.workers))


class Keep(Section):
    text: Literal["none", "hash", "full"] = "none"
    """What remains of the answers' bytes after the run."""


class Environment(Section):
    """What the source says its test environment has. Recorded, not enforced."""

    memory: Size | None = None
    cpu: Cores | None = None


class Cost(Section):
    """What the tokens cost; without it no cost is stated."""

    prompt_per_million: Money
    """Price of a million prompt tokens, such as 0.15 USD."""
    output_per_million: Money
    """Price of a million output tokens."""


class NotExecuted(Section):
    """What the source's load scenario asks for beyond the load above. Recorded, not executed."""

    ramp_up: Duration | None = None
    target_rate: Rate | None = None


class Profile(Section):
    schema_: Literal[1] = Field(default=1, alias="schema")
    name: Name = "unnamed"
    component: Component = Field(default_factory=str)
    """In case ids: TC-L1-COMP-<component>-001. The name up to its first sign when not given."""
    target: Target
    workload: Workload = Field(default_factory=Workload)
    load: Load = Field(default_factory=Load)
    limits: Limits = Field(default_factory=Limits)
    objectives: Objectives = Field(default_factory=tuple)
    checks: Lines = ()
    """Patterns of case ids, such as TC-L1-COMP-SMOLLM2-*."""
    declares: dict[BadInput, HttpStatus] = Field(default_factory=dict)
    """The HTTP status with which the server answers each kind of bad input."""
    answers: Line | None = None
    """A set of prompts whose answers can be checked."""
    baseline: Line | None = None
    note: Line | None = None
    """A sentence that the certificate repeats."""
    keep: Keep = Field(default_factory=Keep)
    instrument: Instrument = Field(default_factory=Instrument)
    cost: Cost | None = None
    prometheus: Prometheus | None = None
    """What a Prometheus that scrapes the services is asked after each trial."""
    alerts: Alerts | None = None
    """What `hxbench alerts` stops, and the alert that must come of it; a run has no use for it."""
    environment: Environment | None = None
    not_executed: NotExecuted | None = None

    @property
    def watched(self) -> Prometheus | None:
        """The section prometheus when it asks anything: an address alone, as from a variable, does not."""
        return self.prometheus if self.prometheus is not None and self.prometheus.asks else None

    @property
    def all_objectives(self) -> tuple[Objective, ...]:
        """The objectives, and the limits on what Prometheus answers."""
        return (*self.objectives, *(self.watched.objectives if self.watched else ()))

    @property
    def looks_after(self) -> tuple[int, ...]:
        """After how many trials the limits are looked at; without any there is nothing to end early for."""
        return self.load.looks_after if self.all_objectives else (self.load.trials,)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, written: Any) -> Any:
        if not isinstance(written, Mapping):
            return written
        first_word = re.match("[A-Za-z0-9]+", str(written.get("name", "unnamed")))
        component = first_word[0].upper() if first_word else "UNNAMED"
        return {"target": {}, "component": component, **written, "workload": _with_prompts(written)}

    @model_validator(mode="after")
    def _asks_what_its_trace_says(self) -> Self:
        for key in ("prompts", "classes", "prompt_tokens"):
            if self.load.trace is not None and getattr(self.workload, key) is not None:
                raise broken(("workload", key), "has no place beside load.trace; set it to null")
        return self

    @model_validator(mode="after")
    def _stays_within_limits(self) -> Self:
        if self.load.trace is not None:  # only its file says how much it asks
            return self
        key, requests = self._planned()
        if requests > self.limits.requests:
            raise broken(
                ("load", key), f"{requests} requests are above limits.requests, {self.limits.requests}"
            )
        tokens = requests * self.workload.output_tokens.least
        if tokens > self.limits.tokens:
            raise broken(
                ("load", key), f"{tokens} output tokens are above limits.tokens, {self.limits.tokens}"
            )
        return self

    @model_validator(mode="after")
    def _can_be_shared(self) -> Self:
        load, workers = self.load, self.instrument.workers
        expected = ""
        if load.loop == "closed" and workers > load.scaled_users:
            expected = f"at most as many as load.users, {load.scaled_users}"
        if load.max_in_flight is not None and workers > 1:
            expected = "1 with load.max_in_flight, which is counted in one process"
        if expected:
            raise broken(("instrument", "workers"), f"expected {expected}, got {workers}")
        return self

    def _planned(self) -> tuple[str, int]:
        """Returns how many requests all trials measure at least, and the key that says so."""
        load = self.load
        if load.requests is not None:
            return "requests", load.requests * load.trials
        if load.expected_arrivals is not None:
            warm = load.slopes[0][1].begin * load.warmup
            return "stages" if load.stages else "rate", int(warm + load.expected_arrivals) * load.trials
        return "users", load.scaled_users * load.trials


def _with_prompts(profile: Mapping[str, Any]) -> Any:
    """Returns the section workload, with the short prompts where nothing says what is asked."""
    workload, load = (profile.get(section, {}) for section in ("workload", "load"))
    if not isinstance(workload, Mapping) or not isinstance(load, Mapping):
        return workload
    told = load.get("trace") is not None or workload.get("prompt_tokens") is not None
    return workload if told or workload.get("prompts") is not None else {**workload, "prompts": "short"}


def known_keys(path: tuple[str, ...]) -> list[str]:
    """Returns the keys that a section of the profile knows; none for a path that is no section."""
    section = _kind(path)
    fields = section.model_fields.items() if _is_section(section) else ()
    return [field.alias or name for name, field in fields]


def takes_text(path: tuple[str, ...]) -> bool:
    """Returns whether the value at a key is text as it stands, so that `yes` or `3.5` mean themselves."""
    return _kind(path) is str


def _kind(path: tuple[str, ...]) -> Any:
    """Returns the type at a key, without its null; None where the model says nothing of its own."""
    kind: Any = Profile
    for key in path:
        if get_origin(kind) in (tuple, dict):  # of sections: by number, or by name
            kind = get_args(kind)[0 if get_origin(kind) is tuple else 1]
            continue
        field = kind.model_fields.get(key) if _is_section(kind) else None
        if field is None:
            return None
        plain = [each for each in get_args(field.annotation) if each is not type(None)]
        kind = plain[0] if get_origin(field.annotation) in (Union, UnionType) else field.annotation
        kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return kind


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def json_schema() -> str:
    """Returns the JSON Schema of a profile file, as `parameters/profile.schema.json` holds it."""
    schema = Profile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
