"""In a notebook's kernel: an interrupt keeps what was measured, mistakes are a line, names lead somewhere."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbclient
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbformat.v4 import new_code_cell, new_notebook
from runs_by_hand import good, store

import hxbench as hx
from hxbench.render import run_view
from hxbench.render.frames import Frames
from hxbench.render.sweep_view import SweepFigures
from tests import servers
from tests.loads import PATIENCE_S, wait_until
from tests.servers import Behaviour, Server, plain

PROFILE = """\
schema: 1
name: small
target: {{server: '{url}', model: m}}
workload: {{output_tokens: 4}}
load: {{users: 2, warmup: 0 s, measure: 60 s}}
objectives: {{ttft: {{p50: 5 s}}}}
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[BlockingKernelClient]:
    """A real kernel of this Python in an empty folder."""
    with started(tmp_path) as client:
        yield client


@contextmanager
def started(folder: Path) -> Iterator[BlockingKernelClient]:
    short = Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))  # the path of a socket has 107 characters
    manager = KernelManager(transport="ipc", ip=str(short / "k"))
    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=arguments, language="python")
    environment = {**os.environ, "IPYTHONDIR": str(folder / "ipython"), "PYTHONWARNINGS": "ignore"}
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE_S)
    client.manager = manager
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        shutil.rmtree(short)


def wait_for_result(client: BlockingKernelClient, message: str) -> tuple[str, str]:
    """Returns the status of an execution and all text it put out."""
    shown: list[str] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        said = client.get_iopub_msg(timeout=PATIENCE_S)
        if said["parent_header"].get("msg_id") != message:
            continue
        content: dict[str, Any] = said["content"]
        shown.append(content.get("text", "") + content.get("data", {}).get("text/plain", ""))
        shown.append(content.get("data", {}).get("text/html", ""))
        shown += content.get("traceback", [])
        if content.get("execution_state") == "idle":
            return reply(client, message)["status"], "".join(shown)
    raise AssertionError(f"the cell did not end: {''.join(shown)}")


def reply(client: BlockingKernelClient, message: str) -> dict[str, Any]:
    """Returns the answer to a message; of a kernel that starts slowly there are others before it."""
    while True:
        said = client.get_shell_msg(timeout=PATIENCE_S)
        if said["parent_header"].get("msg_id") == message:
            return dict(said["content"])


def execute(client: BlockingKernelClient, code: str) -> tuple[str, str]:
    return wait_for_result(client, client.execute(code))


def test_interrupting_a_cell_keeps_what_was_measured(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.05, 0.01))) as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url))
        message = kernel.execute('import hxbench as hx\nrun = hx.run("profile.yaml", "run")\nrun')
        wait_until(lambda: len(server.chats) >= 12, "the load never began")
        kernel.manager.signal_kernel(signal.SIGINT)
        status, shown = wait_for_result(kernel, message)
        seen = len(server.chats)
        time.sleep(0.3)
        assert seen == len(server.chats)
    assert "ok" == status, shown
    assert "INCOMPLETE" in shown
    assert f"stopped: what was measured is kept: hx.open('{tmp_path / 'run'}')" in shown
    status, shown = execute(kernel, "set(run.requests.outcome), len(run.requests) >= 8")
    assert ("ok", True) == (status, "'ok'" in shown and "True" in shown), shown


def test_an_interrupt_before_the_first_request_is_an_error_and_leaves_nothing_behind(
    kernel: BlockingKernelClient, tmp_path: Path
) -> None:
    asked = threading.Event()

    def unready(_: Any) -> list[Any]:
        asked.set()
        return [plain(503, "{}")]

    with Server(Behaviour(health=unready)) as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url))
        message = kernel.execute('import hxbench as hx\nrun = hx.run("profile.yaml")')
        assert asked.wait(PATIENCE_S)
        kernel.manager.signal_kernel(signal.SIGINT)
        status, shown = wait_for_result(kernel, message)
    assert "error" == status, shown
    assert "StoppedError: stopped before the first request: nothing was measured" in shown
    assert "load ended" not in shown
    assert [] == list((tmp_path / "outputs").iterdir())


# What a newcomer types, and what the only line must say.
MISTAKES = {
    'hx.run("nosuch")': "nosuch: no such file or shipped profile; expected one of hermes-2, ",
    'hx.run("smolm2-135m")': "smolm2-135m: no such file or shipped profile; did you mean smollm2-135m",
    'hx.run("/nowhere/p.yaml")': "/nowhere/p.yaml: cannot be read: No such file or directory",
    "hx.run(3)": "profile: expected a shipped profile's name or a file's path, got 3",
    "hx.run(load__user=3)": "hx.run: load.user: unknown key; did you mean users",
    "hx.run(users=3)": "hx.run: users: unknown key; did you mean load.users",
    'hx.run(load__users="many")': 'hx.run: load.users: expected a whole number, got "many"',
    'hx.run(target__api_key_env="NO_KEY")': "the variable NO_KEY is not set; export it and try again",
    'hx.run(None, target={"server": "http://127.0.0.1:9", "model": "m"}, load={"measure": "1 s"})': (
        "http://127.0.0.1:9: not reachable: ConnectError: [Errno 111] Connection refused; "
        "is the server running, and is this its address?"
    ),
    'hx.run("profile.yaml", target__model="n")': "model",
    'hx.plan("smollm2-135")': "did you mean smollm2-135m",
    "hx.certify([])": "profile: expected a shipped profile's name or a file's path, got []",
    'hx.open("outputs/latest")': (
        "outputs/latest: not a run: there is no such folder; "
        "runs are folders below outputs/, the last one outputs/latest"
    ),
    'hx.open(".")': ".: not a run: it has no folder records/; runs are folders below outputs/",
    'hx.verify("nowhere")': "nowhere: not a run",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    """A kernel for what leaves no traces in it: hxbench imported, a run by hand in `run`."""
    folder = tmp_path_factory.mktemp("kernel")
    store(good(), folder / "by-hand")
    with Server(Behaviour(models=lambda _: [plain(200, '{"data": [{"id": "m"}]}')])) as server:
        (folder / "profile.yaml").write_text(PROFILE.format(url=server.url))
        with started(folder) as client:
            assert "ok" == execute(client, 'import hxbench as hx\nrun = hx.open("by-hand")')[0]
            yield client


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_in_a_cell_is_one_line_that_says_what_to_do(
    shared: BlockingKernelClient, code: str
) -> None:
    message = shared.execute(code)
    errors, deadline = [], time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        said = shared.get_iopub_msg(timeout=PATIENCE_S)
        mine = said["parent_header"].get("msg_id") == message
        errors += [said["content"]] if mine and said["msg_type"] == "error" else []
        if mine and said["content"].get("execution_state") == "idle":
            break
    (error,) = errors
    (line,) = error["traceback"]
    assert MISTAKES[code] in line
    assert 1 == len(line.splitlines())
    assert f"{error['ename']}: {error['evalue']}" == line


def test_a_bug_of_ours_keeps_its_traceback(shared: BlockingKernelClient) -> None:
    code = "from hxbench.render import run_view\nrun_view.card_text({})"
    status, shown = execute(shared, code)
    assert "error" == status, shown
    assert "run_view.py" in shown
    assert len(shown.splitlines()) > 5


def completions(client: BlockingKernelClient, code: str) -> list[str]:
    """What the kernel offers at the end of the code."""
    return sorted(reply(client, client.complete(code, len(code)))["matches"])


def public(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def test_tab_leads_to_the_public_names_and_nothing_else(shared: BlockingKernelClient) -> None:
    assert sorted(hx.__all__) == completions(shared, "hx.")
    assert sorted([*public(hx.Run), "path"]) == completions(shared, "run.")
    assert public(run_view.Figures) == completions(shared, "run.figures.")
    assert public(Frames) == completions(shared, "run.frames.")
    assert ["waterfall"] == completions(shared, "run.figures.wat")


@pytest.mark.parametrize(
    "kind", [hx.Run, hx.Sweep, run_view.Figures, Frames, SweepFigures], ids=lambda kind: kind.__name__
)
def test_every_name_that_tab_shows_says_what_it_is(kind: type) -> None:
    offered = {name: inspect.getattr_static(kind, name) for name in public(kind)}
    assert [] == [name for name, each in offered.items() if not inspect.getdoc(each)]
    assert [] == [name for name in hx.__all__ if not inspect.getdoc(getattr(hx, name))]


def test_shift_tab_shows_how_a_function_is_called(shared: BlockingKernelClient) -> None:
    text = reply(shared, shared.inspect("hx.run", 6))["data"]["text/plain"]
    assert "Measures by the profile" in text
    assert "load__users=4" in text


HELD = {
    "run": "CERTIFIED",
    "run.certificate": "keys: schema, hxbench, run, ",
    "run.verdicts": "✓ PASS",
    "run.ledger": "✓ ok",
    "run.figures": "figures of by-hand: ttft, itl, e2e, ",
    "run.frames": "frames of by-hand: ",
    "run.records": "records of by-hand, complete: rows of schedule 130, requests 130, reads 4160, ",
    "run.records.profile": "Profile(name='smollm2-135m', component='SMOLLM2', target=Target(",
    "hx.verify(run.path)": "VERIFIED",
    'hx.plan("profile.yaml")': "Requests needed to pass",
}


@pytest.mark.parametrize("code", HELD)
def test_what_a_user_can_hold_shows_itself(shared: BlockingKernelClient, code: str) -> None:
    status, shown = execute(shared, code)
    assert "ok" == status, shown
    assert HELD[code] in shown
    assert " object at 0x" not in shown
    assert len(shown) < 20_000


def test_headless_a_run_tells_how_it_goes_on_stderr_and_displays_nothing(tmp_path: Path) -> None:
    with Server() as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url).replace("60 s", "1 s"))
        cell = new_code_cell('import hxbench as hx\nrun = hx.run("profile.yaml", "run")')
        notebook = new_notebook(cells=[cell])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
            nbclient.execute(notebook, cwd=str(tmp_path))
    assert {("stream", "stderr")} == {(each.output_type, each.get("name")) for each in cell.outputs}
    text = "".join(each.text for each in cell.outputs)
    assert text.startswith("profile small")
    assert text.splitlines()[-1].startswith("load ended · ")
    assert "\r" not in text


def test_headless_a_mistake_is_an_error_of_the_cell_all_the_same(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell('import hxbench as hx\nhx.run("nosuch")')])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        with pytest.raises(nbclient.exceptions.CellExecutionError, match="nosuch: no such file"):
            nbclient.execute(notebook, cwd=str(tmp_path))
    (output,) = notebook.cells[0].outputs
    assert ("error", "ProfileError") == (output.output_type, output.ename)


def test_plain_python_keeps_its_traceback(tmp_path: Path) -> None:
    code = 'import hxbench as hx; hx.run("nosuch")'
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert "Traceback (most recent call last)" in done.stderr
    assert "ProfileError: nosuch: no such file" in done.stderr.splitlines()[-1]


def test_live_progress_replaces_itself(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.05, 0.01))) as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url).replace("60 s", "1 s"))
        status, shown = execute(
            kernel, 'import hxbench as hx\nrun = hx.run("profile.yaml", "run")\nrun.figures.ttft()'
        )
    assert "ok" == status, shown
    assert "profile small" in shown
    assert "answered" in shown


def test_closing_the_tab_loses_nothing(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.05, 0.01))) as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url).replace("60 s", "1 s"))
        kernel.execute('import hxbench as hx\nrun = hx.run("profile.yaml")')
        kernel.stop_channels()  # nobody listens any more
        wait_until((tmp_path / "outputs" / "latest").exists, "the run did not come to its end")
    run = hx.open(tmp_path / "outputs" / "latest")
    assert {"ok"} == set(run.requests["outcome"])
    assert "complete" == run.records.ending["state"]
