"""What more than one test file needs."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

CASES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=3, help="random moments to kill each process of a run at")


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


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str], NoReturn]:
    """Called with what is missing and how to get it: skips the test, and fails it with CI set."""
    return pytest.fail if os.environ.get("CI") else pytest.skip


@pytest.fixture(scope="session")
def chromium(repository: Path, unavailable: Callable[[str], NoReturn]) -> Iterator[str]:
    """The path of a browser that starts: what `make services` prepared, or an installed one."""
    services = repository / ".services"
    prepared = shutil.which("chromium", path=services / "bin")
    with pytest.MonkeyPatch.context() as environment:
        if (services / "lib").is_dir():  # what Playwright's driver lacks on this machine
            environment.setenv("LD_LIBRARY_PATH", str(services / "lib"), prepend=os.pathsep)
        yield prepared or shutil.which("chromium") or unavailable("no chromium: make services")
