"""Resolves a profile from its layers: defaults, profile, load profile, environment, command line."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hxbench import canonical_json
from hxbench.errors import ProfileError
from hxbench.plan import catalogue, series, yaml_text
from hxbench.plan.admissible import check
from hxbench.plan.messages import refusal, shown, suggestion
from hxbench.plan.profile import Profile, known_keys, takes_text
from hxbench.shipped import shipped, shipped_names

PREFIX = "HXBENCH_"
LOADS = "parameters/load"  # where the shipped load profiles lie
# Variables that say where things lie; they are no part of a profile.
CONTROL_VARIABLES = frozenset({"HXBENCH_MODEL_DIR", "HXBENCH_OUTPUTS"})
# The settings of R6.3 that a profile holds; its others belong to parts that are not there yet.
_BARE_NAMES = {
    "TEST_SEED": ("workload", "seed"),
    "TEST_TEMPERATURE": ("workload", "temperature"),
    "TEST_TIMEOUT": ("limits", "total"),
    "PROMETHEUS_URL": ("prometheus", "url"),
}

KeyPath = tuple[str, ...]
# A layer that gives the one takes the others of earlier layers back.
_ALTERNATIVES: dict[KeyPath, tuple[KeyPath, ...]] = {
    ("load", key): tuple(("load", other) for other in others)
    for key, others in {
        "users": ("rate", "stages", "series", "trace", "arrivals", "burstiness", "max_in_flight", "loop"),
        "rate": ("users", "ramp_up", "think_time", "stages", "series", "trace", "loop"),
        "stages": (
            "users", "ramp_up", "think_time", "rate", "series", "trace", "loop", "measure", "requests",
        ),
        "series": (
            "users", "ramp_up", "think_time", "rate", "stages", "trace", "loop", "measure", "requests",
        ),
        "measure": ("requests",),
        "requests": ("measure",),
        "arrivals": ("burstiness",),
        "trials": ("looks",),
        "trace": (
            "users", "ramp_up", "think_time", "rate", "stages", "arrivals", "burstiness", "loop", "measure",
            "requests",
        ),
    }.items()
}  # fmt: skip
_TRACE: KeyPath = ("load", "trace")
_PROMPTS, _CLASSES, _MADE_UP, _PREFIX = (
    ("workload", key) for key in ("prompts", "classes", "prompt_tokens", "prefix")
)
_ALTERNATIVES[_TRACE] += (_PROMPTS, _CLASSES, _MADE_UP, _PREFIX)
_ALTERNATIVES |= {_PROMPTS: (_MADE_UP, _PREFIX, _TRACE), _MADE_UP: (_PROMPTS, _CLASSES, _TRACE)}


@dataclass(frozen=True)
class Resolved:
    """A profile, the document that says the same in text, and where each value of the document comes from."""

    profile: Profile
    document: dict[str, Any]
    origins: dict[str, str]
    sha256: str


def resolve(
    source: str | Path | None = None,
    *,
    load: str | Path | None = None,
    overrides: Mapping[str, tuple[object, str]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Returns the profile that the layers give, the later over the earlier.

    `source` and `load` are paths or names of shipped profiles; overrides map a dotted key to a value and
    what messages call it, such as `--users`. Of `environ` the names of `HXBENCH_*` and R6.3 are read.
    Raises: ProfileError, one line, when any layer or the whole is wrong.
    """
    layers = _Layers()
    for path, folder in ((source, "parameters"), (load, LOADS)):
        if path is not None:
            layers.lay_file(path, folder)
    layers.lay(_of_environment(environ or {}))
    layers.lay([_setting(tuple(key.split(".")), *given) for key, given in (overrides or {}).items()])
    return layers.resolved()


def written_sha256(path: Path) -> str:
    """Returns the SHA-256 of a resolved profile as it was written down: keys that came later are not in it.

    Raises: ProfileError when it is no profile.
    """
    return _sha256(yaml_text.load(path, str(path)).value)


def _sha256(document: Any) -> str:
    return hashlib.sha256(canonical_json.encode(document)).hexdigest()


@dataclass(frozen=True)
class _Setting:
    """One value of a layer, at its keys; `origin` is what the certificate calls it."""

    path: KeyPath
    value: Any
    origin: str


def _setting(path: KeyPath, value: object, origin: str) -> _Setting:
    """Returns a variable or flag; text is read as in a profile unless text is what the key takes."""
    if isinstance(value, str) and value.strip() == "null":
        return _Setting(path, None, origin)
    if isinstance(value, str) and not takes_text(path):
        return _Setting(path, yaml_text.setting(value, origin), origin)
    return _Setting(path, value, origin)


def _of_environment(environ: Mapping[str, str]) -> list[_Setting]:
    """Returns what the variables set; the names of `HXBENCH_` win over those of R6.3."""
    settings = [
        _setting(_BARE_NAMES[name], environ[name], name) for name in sorted(_BARE_NAMES.keys() & environ)
    ]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in CONTROL_VARIABLES:
            keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
            settings.append(_setting(keys, environ[name], name))
    return [_in_seconds(each) if each.origin == "TEST_TIMEOUT" else each for each in settings]


def _in_seconds(setting: _Setting) -> _Setting:
    """Returns a bare number as seconds: R6.3 gives TEST_TIMEOUT without a unit."""
    bare = isinstance(setting.value, int | float)
    return replace(setting, value=f"{setting.value} s") if bare else setting


class _Layers:
    """What has been laid so far: the values, where each comes from, and for messages the line as well."""

    def __init__(self) -> None:
        self._tree: dict[str, Any] = {}
        self._origins: dict[KeyPath, str] = {}
        self._places: dict[KeyPath, str] = {}

    def lay_file(self, source: str | Path, folder: str) -> None:
        path, called = _file(source, folder)
        document = yaml_text.load(path, called)
        places = {at: f"{called}:{line}" for at, line in document.lines.items()}
        self.lay([_Setting((), document.value, called)], places)
        self._places.setdefault((), called)

    def lay(self, layer: Sequence[_Setting], places: Mapping[KeyPath, str] | None = None) -> None:
        """Lays settings over what is there: mappings merge key by key, everything else replaces."""
        places = places or {}
        for each in layer:
            check(each.value, _place_in(places, each.origin), each.path)
        leaves = [leaf for each in layer for leaf in _leaves(each)]
        self._displace(leaves)
        for leaf in leaves:
            self._put(leaf)
        self._places |= places

    def resolved(self) -> Resolved:
        self._read_series()
        profile = self._profile()
        document = profile.model_dump(mode="json", by_alias=True)
        leaves = _leaves(_Setting((), document, "default"))
        origins = {
            ".".join(leaf.path): self._around(self._origins, leaf.path) or "default" for leaf in leaves
        }
        return Resolved(profile, document, origins, _sha256(document))

    def _displace(self, leaves: Sequence[_Setting]) -> None:
        """Drops what earlier layers chose where this one chooses the alternative: a rate, not users."""
        # Each alternative is a key of a section; below it a value may be a mapping.
        given = {leaf.path[:2]: leaf.value for leaf in leaves}
        for path in given.keys() & _ALTERNATIVES.keys():
            for other in _ALTERNATIVES[path]:
                if given[path] is not None and other not in given:
                    self._forget(other)

    def _read_series(self) -> None:
        """Puts the stages that load.series names in its place, so that the profile says all by itself."""
        load, path = self._tree.get("load"), ("load", "series")
        name = load.get("series") if isinstance(load, dict) else None
        if not isinstance(load, dict) or not isinstance(name, str):
            return
        place = self._place(path)
        if load.get("stages") is not None:
            raise refusal(place, path, "has no place beside load.stages; set one of them to null")
        try:
            self._put(_Setting(("load", "stages"), series.stages(name), name))
        except ProfileError as error:
            raise refusal(place, path, str(error)) from None
        self._put(_Setting(path, None, place))

    def _put(self, leaf: _Setting) -> None:
        tree = self._tree
        for depth, key in enumerate(leaf.path[:-1], start=1):
            if not isinstance(tree.get(key), dict):
                self._forget(leaf.path[:depth])
                tree[key] = {}
            tree = tree[key]
        self._forget(leaf.path)
        tree[leaf.path[-1]] = leaf.value
        self._origins[leaf.path] = self._places[leaf.path] = leaf.origin

    def _forget(self, path: KeyPath) -> None:
        for known in (self._origins, self._places):
            for each in [each for each in known if each[: len(path)] == path]:
                del known[each]
        tree: Any = self._tree
        for key in path[:-1]:
            tree = tree.get(key) if isinstance(tree, dict) else None
        if isinstance(tree, dict):
            tree.pop(path[-1], None)

    def _profile(self) -> Profile:
        try:
            profile = Profile.model_validate(self._tree)
        except ValidationError as error:
            raise self._refusal(error.errors()) from None
        try:
            catalogue.select(profile.checks, profile.component)
        except ProfileError as error:
            raise refusal(self._place(("checks",)), (), str(error)) from None
        return profile

    def _refusal(self, errors: list[ErrorDetails]) -> ProfileError:
        path = tuple(str(key) for key in errors[0]["loc"])
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        at = path[:-1] if path[-1:] == ("[key]",) else path
        return refusal(self._place(at), at, _problem(errors[0], path) + others)

    def _place(self, path: KeyPath) -> str:
        """Returns where a key was written, or else the closest section around it."""
        sections = (self._places.get(path[:length]) for length in range(len(path) - 1, -1, -1))
        return self._around(self._places, path) or next(filter(None, sections), "profile")

    @staticmethod
    def _around(known: Mapping[KeyPath, str], path: KeyPath) -> str | None:
        """Returns what is known of a key, or else of the first below it."""
        return known.get(path) or next((known[each] for each in known if each[: len(path)] == path), None)


def _place_in(places: Mapping[KeyPath, str], origin: str) -> Callable[[KeyPath], str]:
    return lambda path: places.get(path, origin)


def _file(source: str | Path, folder: str = "parameters") -> tuple[Path, str]:
    """Returns the path of a profile and what messages call it: a file, or the bare name of a shipped one."""
    path, known = Path(source), shipped_names(folder, ".yaml")
    if _is_file(path) or path.suffix in (".yaml", ".yml") or path.name != str(source):
        return path, str(source)
    if str(source) not in known:
        place, what = ("--load", "load") if folder == LOADS else ("", "profile")
        hint = suggestion(str(source), known)
        raise refusal(place, (), f"{str(source)[:200]}: no such file or shipped {what}; {hint}")
    home, _, inner = folder.partition("/")
    return shipped(home, f"{inner}/{source}.yaml".lstrip("/")), f"{folder}/{source}.yaml"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _leaves(setting: _Setting) -> Iterator[_Setting]:
    """Yields a setting for each value below that is no mapping; an empty mapping counts as a value."""
    value = setting.value
    if isinstance(value, dict) and (value or not setting.path):
        for key, inner in value.items():
            yield from _leaves(_Setting((*setting.path, key), inner, setting.origin))
    else:
        yield setting


_MESSAGES = {
    "missing": "required, missing",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "tuple_type": "expected a list",
    "too_short": "expected a list of {min_length} or more values",
    "too_long": "expected a list of at most {max_length} values",
    "literal_error": "expected {expected}",
    "greater_than_equal": "expected a number of {ge:g} or more",
    "less_than_equal": "expected a number of at most {le:.0f}",
}


def _instead(path: KeyPath) -> str:
    """Returns what may have been meant: of a key without its section, the whole path."""
    inside = [name for name in known_keys(()) if len(path) == 1 and path[0] in known_keys((name,))]
    return f"did you mean {inside[0]}.{path[0]}" if inside else suggestion(path[-1], known_keys(path[:-1]))


def _problem(error: ErrorDetails, path: KeyPath) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key; {_instead(path)}"
    if path[-1:] == ("[key]",):
        return f"unknown key; expected {context.get('expected', 'text')}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "rule":
        return error["msg"]
    message = _MESSAGES.get(kind, error["msg"]).format(**context)
    return message if kind == "missing" else f"{message}, got {shown(error['input'])}"
