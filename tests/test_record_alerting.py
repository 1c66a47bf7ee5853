"""What is asked of Prometheus and Alertmanager about one alert, where they say something unexpected."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from hxbench.errors import InputError
from hxbench.plan.alerts import Alerts
from hxbench.plan.prometheus import Prometheus
from hxbench.record.alerting import Watched
from tests.servers import Request, Script, Server, plain

LABELS = {"alertname": "Down", "job": "llm"}
RULE = {"name": "Down", "query": "up == 0", "duration": 1, "health": "ok", "alerts": []}


class Saying(Server):
    """Both servers in one: says what it is told to, by the path without its query."""

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, Any] = {
            "/api/v1/rules": {"data": {"groups": [{"rules": [RULE]}]}},
            "/api/v1/query": {
                "status": "success",
                "data": {"result": [{"metric": {}, "value": [1, "100.5"]}]},
            },
            "/api/v1/alerts": {"data": {"alerts": []}},
            "/api/v2/alerts": [],
        }

    def _script(self, request: Request) -> Script:
        said = self.says[request.path.partition("?")[0]]
        return lambda _: [plain(200, json.dumps(said))]


@contextmanager
def watched() -> Iterator[tuple[Saying, Watched]]:
    with Saying() as server:
        given = {"rule": "Down", "labels": {"job": "llm"}, "stop": ["s"], "restore": ["r"]}
        section = Alerts.model_validate(given | {"alertmanager": server.url})
        with closing(Watched(section, Prometheus(url=server.url), None)) as made:
            yield server, made


def test_what_is_known_of_a_rule_is_its_expression_and_how_long_it_waits() -> None:
    with watched() as (_, made):
        assert {"query": "up == 0", "for_s": 1.0, "prometheus_s": 100.5} == made.require_ready()


def test_of_several_rules_of_the_name_the_slowest_counts() -> None:
    with watched() as (server, made):
        server.says["/api/v1/rules"]["data"]["groups"] += [{"rules": [RULE | {"duration": 60}]}]
        assert 60 == made.require_ready()["for_s"]


@pytest.mark.parametrize(
    ("path", "said", "message"),
    [
        (
            "/api/v1/rules",
            {"data": []},
            "JSON that is no answer at /api/v1/rules?type=alert; give the address of",
        ),
        ("/api/v1/rules", [], "JSON that is no answer at /api/v1/rules?type=alert; give"),
        (
            "/api/v2/alerts",
            {"a": 1},
            "JSON that is no answer at /api/v2/alerts; start Alertmanager, or correct",
        ),
        (
            "/api/v1/rules",
            {"data": {"groups": [{"rules": [RULE | {"health": "unknown"}]}]}},
            "the rule Down is not healthy: it was not evaluated yet; correct it, or wait",
        ),
        (
            "/api/v1/rules",
            {"data": {"groups": [{"rules": [RULE | {"alerts": [{"labels": LABELS, "state": "pending"}]}]}]}},
            "the rule Down is pending already, before anything was stopped",
        ),
    ],
    ids=["no rules", "a list", "no alerts", "not evaluated", "pending"],
)
def test_what_keeps_a_drill_from_beginning_is_one_line(path: str, said: Any, message: str) -> None:
    with watched() as (server, made):
        server.says[path] = said
        with pytest.raises(InputError) as caught:
            made.require_ready()
    assert message in str(caught.value)
    assert str(caught.value).startswith(server.url)


def test_an_alert_of_the_rule_with_other_labels_is_another_one() -> None:
    other = [{"labels": LABELS | {"job": "other"}, "state": "firing", "status": {"state": "active"}}]
    with watched() as (server, made):
        server.says["/api/v1/rules"]["data"]["groups"] = [{"rules": [RULE | {"alerts": other}]}]
        server.says["/api/v2/alerts"] = other
        assert "up == 0" == made.require_ready()["query"]


def test_a_look_tells_what_changed_and_an_error_as_long_as_it_is_new() -> None:
    mine = {"labels": LABELS, "state": "firing", "status": {"state": "suppressed"}}
    with watched() as (server, made):
        made.require_ready()
        inactive = {"state": "inactive"}
        first = [("condition", {"state": "holds"}), ("rule", inactive), ("alertmanager", inactive)]
        assert first == list(made.look())
        assert [] == list(made.look())
        server.says["/api/v1/alerts"] = {"data": {"alerts": [mine | {"state": "pending"}, mine]}}
        server.says["/api/v2/alerts"] = [mine]
        changed = [("rule", {"state": "firing"}), ("alertmanager", {"state": "suppressed"})]
        assert changed == list(made.look())
        server.says["/api/v1/alerts"] = []
        ((name, said),) = list(made.look())
        assert ("rule", ["error"]) == (name, list(said))
        assert [] == list(made.look())
