"""In a notebook's kernel: interrupting a cell stops the load at once and hands back what was measured."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

import hxbench as hx
from tests import servers
from tests.servers import Behaviour, Server

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
    manager = KernelManager(transport="ipc", ip=str(tmp_path / "k"))
    arguments = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=arguments, language="python")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONWARNINGS": "ignore"}
    manager.start_kernel(cwd=str(tmp_path), env=environment)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.manager = manager
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def wait_for_result(client: BlockingKernelClient, message: str, timeout: float = 60) -> tuple[str, str]:
    """Returns the status of an execution and all text it put out."""
    shown: list[str] = []
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        said = client.get_iopub_msg(timeout=timeout)
        if said["parent_header"].get("msg_id") != message:
            continue
        content: dict[str, Any] = said["content"]
        shown.append(content.get("text", "") + content.get("data", {}).get("text/plain", ""))
        shown.append(content.get("data", {}).get("text/html", ""))
        shown += content.get("traceback", [])
        if content.get("execution_state") == "idle":
            return client.get_shell_msg(timeout=5)["content"]["status"], "".join(shown)
    raise AssertionError("the cell did not end")


def execute(client: BlockingKernelClient, code: str) -> tuple[str, str]:
    return wait_for_result(client, client.execute(code))


def test_interrupting_a_cell_keeps_what_was_measured(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    with Server(Behaviour(chat=lambda _: servers.stream(4, 0.05, 0.01))) as server:
        (tmp_path / "profile.yaml").write_text(PROFILE.format(url=server.url))
        message = kernel.execute('import hxbench as hx\nrun = hx.run("profile.yaml", "run")\nrun')
        deadline = time.monotonic() + 60
        while len(server.chats) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        kernel.manager.signal_kernel(signal.SIGINT)
        time.sleep(1.0)
        seen = len(server.chats)
        status, shown = wait_for_result(kernel, message)
        assert seen == len(server.chats)
    assert "ok" == status, shown
    assert "INCOMPLETE" in shown
    status, shown = execute(kernel, "set(run.requests.outcome), len(run.requests) >= 8")
    assert ("ok", True) == (status, "'ok'" in shown and "True" in shown), shown


def test_an_error_in_a_cell_is_one_line_that_says_what_to_do(kernel: BlockingKernelClient) -> None:
    status, _ = execute(kernel, "import hxbench as hx")
    assert "ok" == status
    message = kernel.execute('hx.run("nosuch")')
    status, shown = wait_for_result(kernel, message)
    assert "error" == status
    assert 1 == len(shown.strip().splitlines()), shown
    assert "nosuch" in shown


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
        deadline = time.monotonic() + 60
        while not (tmp_path / "outputs" / "latest").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    run = hx.open(tmp_path / "outputs" / "latest")
    assert {"ok"} == set(run.requests["outcome"])
    assert "complete" == run.records.ending["state"]
