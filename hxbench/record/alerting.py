"""What Prometheus and Alertmanager say of one alert: before a drill, and what changed while it lasts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any, NoReturn

from hxbench import units
from hxbench.errors import InputError, PrometheusError
from hxbench.plan.alerts import Alerts
from hxbench.plan.prometheus import Prometheus
from hxbench.record.prometheus import Client, Session

INACTIVE = "inactive"
_AT_PROMETHEUS = ("firing", "pending")
_AT_ALERTMANAGER = ("active", "suppressed", "unprocessed")  # it forgets what was resolved
_SAID = 300  # characters of an error that are kept


class _Alertmanager(Session):
    """As a session with Prometheus, but with other advice."""

    def _refuse(self, what: str, _to_do: str) -> NoReturn:
        raise PrometheusError(f"{self._url}: {what}; start Alertmanager, or correct alerts.alertmanager")


class Watched:
    """One alert, as those tell it who should know of it."""

    def __init__(self, section: Alerts, prometheus: Prometheus, token: str | None) -> None:
        self._section, self._url, self._query = section, prometheus.url, ""
        self._open = ExitStack()
        client = Client(prometheus.url, token, prometheus.timeout, 2 * prometheus.every, prometheus.ca_file)
        self._prometheus = self._open.enter_context(closing(client))
        self._asked: dict[str, Callable[[], str]] = {
            "condition": self._condition,
            "rule": self._at_prometheus,
        }
        if section.alertmanager is not None:
            manager = _Alertmanager(section.alertmanager, prometheus.timeout, prometheus.ca_file)
            self._alertmanager = self._open.enter_context(manager)
            self._asked["alertmanager"] = self._at_alertmanager
        self._last: dict[str, dict[str, str]] = {}

    def close(self) -> None:
        """Lets go of the connections."""
        self._open.close()

    def require_ready(self) -> dict[str, Any]:
        """Returns what there is to know of the rule before anything is stopped.

        Raises: InputError when the alert could not fire, or not be told from one that is there already.
        """
        try:
            rule = self._rule()
            held = self._at_alertmanager() if "alertmanager" in self._asked else INACTIVE
            now_s = self._prometheus.instant("time()").points[0].value
        except PrometheusError as error:
            raise InputError(str(error)) from None
        if held != INACTIVE:
            raise self._too_early(f"{self._section.alertmanager}: the alert {self._section.rule}", held)
        self._query = str(rule["query"])
        return {"query": self._query, "for_s": rule["duration"], "prometheus_s": now_s}

    def look(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yields what is not as it was at the last look: who says it, and the state or the error."""
        for name, ask in self._asked.items():
            try:
                said = {"state": ask()}
            except PrometheusError as error:
                said = {"error": str(error)}
            if said != self._last.get(name):
                self._last[name] = said
                yield name, said

    def _rule(self) -> dict[str, Any]:
        """Returns the rule, of several of that name the slowest, once nothing speaks against any."""
        named = f"{self._url}: the rule {self._section.rule}"
        rules = self._prometheus.document("/api/v1/rules?type=alert", self._mine)
        if not rules:
            raise InputError(f"{named} is not there; load it into Prometheus, or correct alerts.rule")
        for rule in rules:
            if rule["health"] != "ok":
                raise InputError(f"{named} is not healthy: {rule['error']}; correct it, or wait")
            if rule["state"] != INACTIVE:
                raise self._too_early(named, rule["state"])
        slowest = max(rules, key=lambda rule: float(rule["duration"]))
        if slowest["duration"] >= self._section.within:
            waits, limit = units.duration(slowest["duration"]), units.duration(self._section.within)
            raise InputError(f"{named} waits {waits} before it fires; alerts.within allows {limit} in all")
        return slowest

    def _mine(self, data: Any) -> list[dict[str, Any]]:
        """Returns what matters of the rules of the name, with the states of the alerts that matter."""
        return [
            {
                "query": str(rule["query"]),
                "duration": float(rule["duration"]),
                "health": rule["health"],
                "error": str(rule.get("lastError") or "it was not evaluated yet")[:_SAID],
                "state": self._worst(rule["alerts"]),
            }
            for group in data["groups"]
            for rule in group["rules"]
            if rule["name"] == self._section.rule
        ]

    @staticmethod
    def _too_early(named: str, state: str) -> InputError:
        return InputError(
            f"{named} is {state} already, before anything was stopped; end its cause, or tell it apart by "
            "alerts.labels"
        )

    def _condition(self) -> str:
        """Returns whether the rule's expression gives anything, which is so before the rule's next turn."""
        return "holds" if self._prometheus.instant(self._query).points else INACTIVE

    def _at_prometheus(self) -> str:
        return self._prometheus.document("/api/v1/alerts", lambda data: self._worst(data["alerts"]))

    def _worst(self, alerts: Any) -> str:
        states = {each["state"] for each in alerts if self._section.concerns(each["labels"])}
        return next((state for state in _AT_PROMETHEUS if state in states), INACTIVE)

    def _at_alertmanager(self) -> str:
        return self._alertmanager.document("/api/v2/alerts", self._held)

    def _held(self, alerts: Any) -> str:
        mine = (each for each in alerts if self._section.concerns(each["labels"]))
        states = {each["status"]["state"] for each in mine}
        return next((state for state in _AT_ALERTMANAGER if state in states), INACTIVE)
