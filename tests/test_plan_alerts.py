"""The section `alerts` of a profile: what it holds, and what it refuses."""

from typing import Any

import pytest

from hxbench.errors import ProfileError
from hxbench.plan.alerts import Alerts
from hxbench.plan.layers import Resolved, resolve

GOOD: dict[str, Any] = {"rule": "Down", "stop": ["systemctl", "stop", "llm"], "restore": ["start-llm"]}


def resolved(section: Any) -> Resolved:
    return resolve(None, overrides={"target.model": ("m", "a test"), "alerts": (section, "a test")})


def section(**more: Any) -> Alerts:
    found = resolved(GOOD | more).profile.alerts
    assert found is not None
    return found


def test_an_alert_has_five_minutes_to_come_and_ten_to_go() -> None:
    found = section()
    assert (300, 600, 60) == (found.within, found.clears_within, found.command_timeout)
    assert (("127.0.0.1", 9099), None) == (found.listens_at, found.alertmanager)
    assert ("systemctl", "stop", "llm") == found.stop


def test_the_receiver_may_listen_on_the_loopback_of_either_protocol() -> None:
    assert ("::1", 9100) == section(receiver="[::1]:9100").listens_at


def test_an_alert_is_the_one_when_its_name_and_all_labels_agree() -> None:
    found = section(labels={"job": "llm"})
    assert found.concerns({"alertname": "Down", "job": "llm", "instance": "a"})
    others: list[Any] = [{"alertname": "Down"}, {"alertname": "Up", "job": "llm"}, {"job": "llm"}, None, []]
    assert [False] * 5 == [found.concerns(labels) for labels in others]


def test_the_resolved_document_resolves_to_itself() -> None:
    once = resolved(GOOD | {"labels": {"job": "llm"}, "alertmanager": "http://127.0.0.1:9093/"})
    again = resolved(once.document["alerts"])
    assert (once.profile, once.sha256) == (again.profile, again.sha256)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rule": None}, "alerts.rule: expected one line of text, got null"),
        ({"stop": "systemctl stop llm"}, 'alerts.stop: expected a list, got "systemctl stop llm"'),
        ({"restore": []}, "alerts.restore: expected a list of 1 or more values, got a list"),
        ({"labels": {"job-name": "a"}}, "alerts.labels.job-name: expected the name of a label, such as job"),
        ({"labels": {"job": 1}}, "alerts.labels.job: expected one line of text, got 1"),
        (
            {"receiver": "0.0.0.0:9099"},
            'alerts.receiver: expected a loopback address such as 127.0.0.1:9099, got "0.0.0.0:9099"',
        ),
        (
            {"receiver": "127.0.0.1"},
            'alerts.receiver: expected a loopback address such as 127.0.0.1:9099, got "127.0.0.1"',
        ),
        (
            {"receiver": "127.0.0.1:65536"},
            'alerts.receiver: expected a loopback address such as 127.0.0.1:9099, got "127.0.0.1:65536"',
        ),
        (
            {"receiver": "localhost:9099"},
            'alerts.receiver: expected an address and a port such as 127.0.0.1:9099, got "localhost:9099"',
        ),
        (
            {"alertmanager": "127.0.0.1:9093"},
            "alerts.alertmanager: expected an address such as http://127.0.0.1:9090, without user or query, "
            'got "127.0.0.1:9093"',
        ),
        ({"within": "5"}, "alerts.within: expected a duration such as 500 ms, got 5"),
        ({"recever": "x"}, "alerts.recever: unknown key; did you mean receiver"),
    ],
)
def test_what_is_wrong_is_named_with_its_key(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        resolved(GOOD | more)
    assert f"a test: {message}" == str(caught.value)
