"""Facts: what is named, and never the environment or a command line."""

import json
import os
import platform
import sys
from pathlib import Path

import psutil
import pytest

from hxbench.record import facts


def test_the_facts_are_those_on_the_list() -> None:
    named = "system kernel machine cpu_model cores memory_bytes cpu_governor hostname_sha256"
    assert set(named.split()) == facts.of_host().keys()
    assert {"python", "implementation", "packages"} == facts.of_software().keys()
    assert facts.of_software()["packages"].keys() <= set(facts.PACKAGES)


def test_the_facts_are_true() -> None:
    host, software = facts.of_host(), facts.of_software()
    assert (os.cpu_count(), psutil.virtual_memory().total) == (host["cores"], host["memory_bytes"])
    assert sys.version.split()[0] == software["python"]
    assert psutil.__version__ == software["packages"]["psutil"]
    assert host["cpu_model"]


def test_no_value_of_the_environment_and_no_command_line_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VARIABLE", "canary-value")
    monkeypatch.setattr(sys, "argv", ["canary-argument"])
    stored = json.dumps([facts.of_host(), facts.of_software()])
    assert "canary" not in stored
    assert os.uname().nodename not in stored


def test_a_package_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PACKAGES", ("no-such-package",))
    assert {} == facts.of_software()["packages"]


def test_the_embedded_server_is_known_by_its_package() -> None:
    assert facts.of_embedded().startswith("llama.cpp in xllamacpp ")


def test_a_system_that_does_not_name_its_processor_in_a_file_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "CPU_INFO", tmp_path / "none")
    assert platform.processor() == facts.of_host()["cpu_model"]
    (tmp_path / "none").write_text("model name : A chip\nmodel name : A chip\n")
    assert "A chip" == facts.of_host()["cpu_model"]


def test_what_governs_the_processors_frequency_is_named_once_where_the_system_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "CPUS", tmp_path)
    assert facts.of_host()["cpu_governor"] is None
    for number, governor in enumerate(("powersave", "performance", "powersave")):
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_governor").write_text(f"{governor}\n")
    assert "performance, powersave" == facts.of_host()["cpu_governor"]
