"""What more than one test file needs."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
from browsing import ARGUMENTS

from hxbench.errors import InputError
from hxbench.plan.profile import Embedded
from hxbench.servers.embedded import start as start_embedded
from hxbench.servers.model import model_file
from hxbench.servers.started import StartedServer
from tests.loads import PATIENCE_S
from tests.prometheus import StartedPrometheus, program

CASES = pytest.StashKey[list[str]]()
TRACED = (
    "test_drill.", "test_exhaustion.", "test_footprint.", "test_jupyter.", "test_kills.", "test_notebooks.",
    "test_record_", "test_servers_",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=3, help="random moments to kill each process of a run at")


def pytest_configure() -> None:
    """Lets an interrupt be heard: who is started in the background ignores it, and so would all children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kill" in metafunc.fixturenames:
        metafunc.parametrize("kill", range(metafunc.config.getoption("--kills")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    cases = config.stash.get(CASES, [])
    if cases:
        terminalreporter.section("what became of it")
        for case in cases:
            terminalreporter.line(case)


@pytest.fixture
def report_case(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes one line for the table at the end of the tests."""
    return request.config.stash.setdefault(CASES, []).append


@pytest.fixture(scope="session", autouse=True)
def no_orphans() -> Iterator[None]:
    """After all tests no process is left that one of them started, whoever its parent is by now."""
    mark = f"{os.getpid()} {time.time_ns()}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TESTS_OF_HXBENCH", mark)
        yield
    left = [
        process for process in psutil.process_iter() if _has(process, mark) and process.pid != os.getpid()
    ]
    _, late = psutil.wait_procs(left, timeout=PATIENCE_S)  # one may be about to end
    assert [] == [process for process in late if _has(process, mark)]


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("TESTS_OF_HXBENCH") == mark
    except psutil.Error:
        return False


@pytest.fixture(scope="module", autouse=True)
def untraced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Coverage measures the processes that tests start where these are what is tested, and only there.

    Elsewhere they run the same lines, at half the cost and at a user's pace.
    """
    with pytest.MonkeyPatch.context() as environment:
        if not request.path.name.startswith(TRACED):
            environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Called with what is missing and how to get it: skips the test, and fails it with CI set."""
    return pytest.fail if os.environ.get("CI") else pytest.skip


@pytest.fixture(scope="session")
def embedded(
    tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str], NoReturn]
) -> Iterator[StartedServer]:
    """The real embedded server with the real model: one slot of 2048 tokens, one thread."""
    try:
        model = model_file("smollm2-135m", print)
        log = tmp_path_factory.mktemp("embedded") / "server.log"
        server = start_embedded(model, "smollm2-135m", Embedded(threads=1, slots=1, context=2048), log)
    except InputError as error:
        unavailable(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory, unavailable: Callable[[str], NoReturn]) -> Path:
    """A file with a certificate for this machine's loopback, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        unavailable("no openssl: install it")
    folder = tmp_path_factory.mktemp("certificate")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *made, "-subj", "/CN=localhost", "-addext", names],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both


@pytest.fixture(scope="session")
def chromium(repository: Path, unavailable: Callable[[str], NoReturn]) -> Iterator[str]:
    """The path of a browser that starts: what `make services` prepared, or an installed one."""
    services = repository / ".services"
    prepared = shutil.which("chromium", path=services / "bin")
    with pytest.MonkeyPatch.context() as environment:
        if (services / "lib").is_dir():  # what Playwright's driver lacks on this machine
            environment.setenv("LD_LIBRARY_PATH", str(services / "lib"), prepend=os.pathsep)
        yield prepared or shutil.which("chromium") or unavailable("no chromium: make services")


@pytest.fixture(scope="session")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, repository: Path, unavailable: Callable[[str], NoReturn]
) -> Iterator[StartedPrometheus]:
    """A real Prometheus; what it scrapes is what the last test told it to, at first itself."""
    path = program(repository) or unavailable("no prometheus: make services")
    started = StartedPrometheus(path, tmp_path_factory.mktemp("prometheus"), {})
    try:
        started.scrape({"self": started.url.removeprefix("http://")})
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A real browser that resolves no name."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium, headless=True, args=ARGUMENTS, timeout=0
        )
        yield started
        started.close()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, without the caller's variables; runs go to outputs/ below it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("HXBENCH_", "TEST_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    return tmp_path
