"""Verifies a run directory: every file by its hash, every number by the records, no summary trusted.

It reads and writes nothing back. Whoever changes the records and judges them again, so that all the rest
matches, is found out by a signature alone, held against a key that did not come with the run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hxbench import __version__, canonical_json, units
from hxbench.errors import DirectoryError, EvidenceError, HxbenchError, InputError
from hxbench.judge import certificate as certificates
from hxbench.judge import results
from hxbench.judge.consistency import contradictions
from hxbench.judge.results import Checked
from hxbench.judge.verify import Group, Verification, differences, plain, values
from hxbench.records import run_directory
from hxbench.records.kinds import KINDS, RESULT, Kind
from hxbench.records.run_directory import Records
from hxbench.render import exporter, manifest, publish, signing, statement
from hxbench.render.completeness import result_of, shortfall
from hxbench.render.files import read_json, read_notebook
from hxbench.render.run_view import Result

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CERTIFICATE = "certificate.json"
_MARKS = (manifest.NAME, CERTIFICATE, "records")


@dataclass(frozen=True)
class Way:
    """How a folder is verified: which file claims something, and what the records give instead."""

    document: str
    read: Callable[[Path], Any]
    build: Callable[[Any], dict[str, Any]]
    contradictions: Callable[[Any], Sequence[str]]
    searched: Callable[[Any], str]
    notebooks: tuple[str, ...]


def _searched(records: Records) -> str:
    return f"{units.count(len(records.requests))} requests and {units.count(len(records.reads))} reads"


RUN = Way(
    CERTIFICATE, run_directory.open_records, certificates.build, contradictions, _searched, publish.NOTEBOOKS
)


def way_of(kind: Kind, open_: Callable[[Path], Checked]) -> Way:
    """Returns how a folder is verified that is no run."""
    return Way(
        RESULT,
        open_,
        lambda opened: results.document(opened, kind),
        lambda opened: opened.contradictions,
        lambda opened: f"the records behind {units.count(len(opened.frame))} rows of numbers",
        (kind.notebook,),
    )


def verify(run_dir: Path, key_file: Path | None = None, way: Way = RUN) -> Verification:
    """Returns what was looked at and each fault found; with a public key, also that its holder signed.

    Raises: DirectoryError when the folder is no run; InputError when the key is none.
    """
    if way is RUN and not any((run_dir / name).exists() for name in _MARKS):
        others = "".join(f", nor {kind.named} ({kind.note})" for kind in KINDS)
        raise DirectoryError(f"{run_dir}: not a run: it has none of {', '.join(_MARKS)}{others}")
    key = None if key_file is None else signing.checker(key_file, run_dir)
    held, unread = _held(run_dir / way.document)
    run = run_dir.resolve().name if held is None else str(held.get("run"))
    records, unreadable = _records(run_dir, way)
    given, incomputable = _given(records, run_dir, run, way)
    groups = [_files(run_dir), _profile(run_dir, records), _record_group(run_dir, records, unreadable, way)]
    if records is not None and held is not None and given is not None:
        groups += [_certificate(held, given, way), _reports(run_dir, given, records)]
        groups += [_notebooks(run_dir, given, way), _statements(run_dir, given, records)]
    else:
        groups.append(Group(_called(way), "not compared", (*unread, *incomputable)))
    signature, unchecked = _signature(run_dir, key)
    status = None if given is None else given["status"]
    return Verification(str(run_dir), status, (*groups, *signature), (*_notes(run_dir, held), *unchecked))


def _called(way: Way) -> str:
    return way.document.removesuffix(".json")


def _certificate(held: dict[str, Any], given: dict[str, Any], way: Way) -> Group:
    says = f"{units.count(values(given))} values computed again from the records"
    return Group(_called(way), says, tuple(f"{way.document}: {each}" for each in differences(held, given)))


def _held(path: Path) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    try:
        held = read_json(path)
    except EvidenceError as error:
        hint = "" if path.exists() else ": nothing is claimed; `hxbench judge` writes it"
        return None, (f"{error}{hint}",)
    return (held, ()) if isinstance(held, dict) else (None, (f"{path.name}: is no JSON object",))


def _records(run_dir: Path, way: Way) -> tuple[Any, tuple[str, ...]]:
    try:
        return way.read(run_dir), ()
    except (EvidenceError, InputError) as error:
        return None, (_inside(run_dir, str(error)),)


def _inside(run_dir: Path, text: str) -> str:
    return text.replace(f"{run_dir}/", "")


def _given(records: Any, run_dir: Path, run: str, way: Way) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Returns the certificate of the run as the records and the executed notebooks give it.

    It is called what the certificate calls it, if a folder can be: its own may have been renamed.
    """
    if records is None:
        return None, ()
    try:
        given = plain(way.build(records)) | {"run": Path(run).name}
    except Exception as error:  # whatever stands in the records must not end in a traceback
        said = _inside(run_dir, _what(error))
        return None, (f"{way.document}: cannot be computed from these records: {said}",)
    shortfalls = [f"notebook {name}: {why}" for name, why in _shortfalls(run_dir, way) if why]
    if shortfalls:
        given |= {"status": certificates.INCOMPLETE, "status_reason": "; ".join(shortfalls)}
    return given, ()


def _what(error: Exception) -> str:
    return str(error) if isinstance(error, HxbenchError) else f"{type(error).__name__}: {error}"


def _executed(run_dir: Path, way: Way) -> Iterator[tuple[str, Path]]:
    for name in way.notebooks:
        path = run_dir / "notebooks" / f"{name}.ipynb"
        if path.exists():
            yield name, path


def _shortfalls(run_dir: Path, way: Way) -> Iterator[tuple[str, str | None]]:
    for name, path in _executed(run_dir, way):
        try:
            yield name, shortfall(read_notebook(path))
        except InputError as error:
            yield name, _inside(run_dir, str(error))


def _files(run_dir: Path) -> Group:
    files = units.count(len(manifest.entries(run_dir)))
    return Group("files", f"{files} files held against {manifest.NAME}", tuple(manifest.faults(run_dir)))


def _profile(run_dir: Path, records: Any) -> Group:
    """Holds the resolved profile against the hash that was noted before the first request."""
    if records is None:
        return Group("profile", "not read")
    try:
        expected = records.profile_sha256
    except HxbenchError as error:
        return Group("profile", "not readable", (_inside(run_dir, str(error)),))
    if expected is None:
        return Group("profile", "each of its runs has one")
    first = (run_dir / "profile.yaml").read_text(encoding="utf-8").partition("\n")[0]
    noted, says = first.rpartition(" ")[2], f"SHA-256 {expected[:12]}…"
    fault = f"profile.yaml: notes the hash {noted[:64]}, its values give {expected}"
    return Group("profile", says, () if noted == expected else (fault,))


def _record_group(run_dir: Path, records: Any, faults: tuple[str, ...], way: Way) -> Group:
    if records is None:
        return Group("records", "not readable", faults)
    try:
        found = tuple(way.contradictions(records))
        return Group("records", f"{way.searched(records)} searched for what cannot be", found)
    except Exception as error:  # as above
        said = _inside(run_dir, _what(error))
        return Group("records", "not readable", (f"records: not as hxbench writes them: {said}",))


def _reports(run_dir: Path, given: dict[str, Any], records: Any) -> Group:
    """Writes again, in memory, what was written from the certificate, and compares the texts."""
    return _texts("reports", run_dir, publish.report_texts(given, records.facts))


def _notebooks(run_dir: Path, given: dict[str, Any], way: Way) -> Group:
    """Holds the result that each executed notebook shows against the certificate, its page against it."""
    faults: list[str] = []
    written: dict[str, Callable[[], str]] = {}
    for name, path in _executed(run_dir, way):
        try:
            notebook = read_notebook(path)
        except InputError as error:
            faults.append(_inside(run_dir, str(error)))
            continue
        if shortfall(notebook) is None:
            held, result = dict(result_of(notebook) or {}), plain(Result(given).data)
            faults += [f"notebooks/{path.name}: its result: {each}" for each in differences(held, result)]
        written[f"{name}.html"] = lambda node=notebook, name=path.name: exporter.page(node, name=name)  # type: ignore[misc]
    pages = _texts("notebooks", run_dir, written)
    return replace(pages, faults=(*faults, *pages.faults))


def _texts(group: str, run_dir: Path, written: dict[str, Callable[[], str]]) -> Group:
    there = {name: make for name, make in written.items() if (run_dir / name).exists()}
    faults: list[str] = []
    for name, make in there.items():
        try:
            faults += _first_difference(name, (run_dir / name).read_text(encoding="utf-8"), make())
        except (OSError, ValueError, HxbenchError) as error:
            faults.append(f"{name}: not readable: {error}")
    says = f"{', '.join(there)} written again and compared" if there else "none there"
    return Group(group, says, tuple(faults))


def _first_difference(name: str, held: str, given: str) -> Iterator[str]:
    if held == given:
        return
    lines = held.splitlines(), given.splitlines()
    both = zip(*lines, strict=False)
    number = next((n for n, (one, other) in enumerate(both) if one != other), min(map(len, lines)))
    one, other = (each[number].strip()[:160] if number < len(each) else "nothing" for each in lines)
    yield f"{name}: line {number + 1}: holds {one}, the certificate gives {other}"


def _statements(run_dir: Path, given: dict[str, Any], records: Any) -> Group:
    """Makes the statements again, of the files that lie there, and compares them."""
    says = f"{', '.join(manifest.STATEMENTS)} made again and compared"
    try:
        made = plain(statement.statements(run_dir, given, records.facts))
    except Exception as error:  # as above
        return Group("statements", says, (f"facts.json: not as hxbench writes it: {_what(error)}",))
    return Group(
        "statements", says, tuple(fault for name in made for fault in _unlike(run_dir / name, made[name]))
    )


def _unlike(path: Path, made: dict[str, Any]) -> Iterator[str]:
    try:
        held = read_json(path)
    except EvidenceError as error:
        yield str(error)
        return
    different = list(differences(held, made))
    yield from (f"{path.name}: {each}" for each in different)
    if not different and canonical_json.encode(held) != path.read_bytes():
        yield f"{path.name}: is not as hxbench writes it (canonical JSON)"


def _signature(run_dir: Path, key: "Ed25519PublicKey | None") -> tuple[list[Group], list[str]]:
    """Returns what was checked, and whose signatures nobody asked to check."""
    try:
        signed = signing.envelopes(run_dir)
    except EvidenceError as error:
        return [Group("signature", "not as hxbench writes it", (str(error),))], []
    if key is not None:
        says = f"each statement held against {signing.called(key)}"
        return [Group("signature", says, tuple(signing.faults(signed, key)))], []
    names = ", ".join(signing.signers(signed))
    return [], [f"signed by {names}, they say; not checked: pass --key with the public key"] if signed else []


def _notes(run_dir: Path, held: dict[str, Any] | None) -> Iterator[str]:
    if held is None:
        return
    version, name = held.get("hxbench"), run_dir.resolve().name
    if version != __version__:
        yield (
            f"recorded by hxbench {version}, verified by {__version__}: "
            "a difference may be that of their definitions"
        )
    if held.get("run") != name:
        yield f"the folder is called {name}, the certificate's run {held.get('run')}: it was renamed"
