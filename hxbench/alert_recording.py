"""An alert drill being recorded: the service stopped, waited for, and restored whatever happens."""

import json
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from hxbench import __version__
from hxbench.errors import HxbenchError, IncompleteError
from hxbench.judge.alerts import Course, course
from hxbench.plan.alerts import Alerts
from hxbench.record import facts
from hxbench.record.alerting import Watched
from hxbench.record.receiver import Heard, Receiver
from hxbench.record.redaction import redact
from hxbench.record.restoring import Restorer, run
from hxbench.record.supervisor import Interrupted, StopRequest
from hxbench.records.run_directory import write_json
from hxbench.render import manifest
from hxbench.render.progress import View

POLL_S = 0.2
# Whatever comes to the receiver, that much of it is noted.
_MOST_HEARD, _MOST_REFUSED = 500, 20


class AlertRecording:
    """One drill being recorded."""

    def __init__(
        self,
        folder: Path,
        section: Alerts,
        watched: Watched,
        receiver: Receiver,
        secrets: tuple[str, ...],
        asked: StopRequest,
        show: View,
    ) -> None:
        self._folder, self._section, self._secrets = folder, section, secrets
        self._watched, self._receiver = watched, receiver
        self._asked, self._show = asked, show
        self._events: list[dict[str, Any]] = []
        self._heard = self._refused = 0
        self._service, self._left_stopped = "nothing was stopped", False

    def record(self, rule: Mapping[str, Any]) -> None:
        """Records the drill on a rule that was looked at; stores what there is, however that ends.

        Raises: IncompleteError when a command failed, or the disk is full; what it says first is whether
            the service is still stopped.
        """
        self._show.say(f"alert drill {self._folder}")
        try:
            with (self._folder / "records" / "events.jsonl").open("a", encoding="utf-8") as file:
                ending = self._drill(rule, file)
            self._store(ending)
        except OSError as error:
            raise IncompleteError(
                f"{self._folder}: {error.strerror or error}: the drill could not be written to its end; "
                f"{self._service}"
            ) from error
        finally:
            self._show.close()
        if ending["state"] == "failed" or self._left_stopped:
            raise IncompleteError(
                f"{ending['reason']}; {self._service}; what was seen is kept in {self._folder}"
            )

    def _drill(self, rule: Mapping[str, Any], file: IO[str]) -> dict[str, Any]:
        """Returns how it ended."""
        self._file = file
        try:
            self._note("checked", **rule)
            with self._restored():
                self._stop()
                self._show.say(f"stopped; waiting for the alert {self._section.rule}")
                self._await(lambda seen: seen.received_s is not None, self._section.within)
            self._show.say("restored; waiting for the alert to clear")
            self._await(lambda seen: seen.is_cleared, self._section.clears_within)
            self._note("ended")
        except Interrupted as stop:
            number = stop.args[0]
            return {"state": "interrupted", "reason": f"interrupted by signal {number}", "signal": number}
        except HxbenchError as error:
            return {"state": "failed", "reason": str(error)}
        return {"state": "complete", "reason": None}

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Restores the service behind the context, before anything is written of it."""
        restorer = Restorer(self._section.restore, self._section.command_timeout)
        try:
            self._asked.raise_if_asked()
            self._note("stopping", command=self._section.stop)
        except BaseException:
            restorer.dismiss()
            raise
        restorer.stopping()
        try:
            yield
        finally:
            said = restorer.restore()
            self._settle(said["problem"])
            self._note("restoring", said["began_ns"], command=self._section.restore)
            self._note("restored", said["ended_ns"], problem=said["problem"])
        if self._left_stopped:
            raise IncompleteError("the drill ended here")

    def _settle(self, problem: str | None) -> None:
        """Remembers what became of the service; what it may need is said whatever else goes wrong."""
        if problem is None:
            self._service = "the service was restored"
            return
        command = shlex.join(self._section.restore)
        self._left_stopped = True
        self._service = (
            f"THE SERVICE MAY STILL BE STOPPED: alerts.restore {problem}; run it by hand: {command}"
        )
        self._show.say(self._service)

    def _stop(self) -> None:
        problem = run(self._section.stop, self._section.command_timeout, self._asked.raise_if_asked)
        self._note("stopped", problem=problem)
        if problem is not None:
            raise IncompleteError(f"alerts.stop {problem}: {shlex.join(self._section.stop)}")

    def _await(self, done: Callable[[Course], bool], within_s: float) -> None:
        """Looks until it is so, or the time is over."""
        until = time.monotonic() + within_s
        while True:
            late = time.monotonic() >= until
            self._look()
            if late or done(course(self._events, self._section)):
                return
            self._asked.raise_if_asked()
            time.sleep(POLL_S)

    def _look(self) -> None:
        for heard in self._receiver.heard():
            self._note_heard(heard)
        for name, said in self._watched.look():
            self._note(name, None, **said)
            if name == "rule":
                self._show.say(f"Prometheus: {said.get('state') or said['error']}")

    def _note_heard(self, heard: Heard) -> None:
        """Notes a notification that has the alert, or a request that is none; of either so many at most."""
        if heard.refused is not None:
            self._refused += 1
            if self._refused <= _MOST_REFUSED:
                self._note("refused", heard.at_ns, why=heard.refused)
        elif heard.alerts:
            self._heard += 1
            if self._heard <= _MOST_HEARD:
                self._note("received", heard.at_ns, alerts=heard.alerts)

    def _note(self, event: str, at_ns: int | None = None, **more: Any) -> None:
        """Writes one event, without secrets; what it is made of is what is judged."""
        row = {"at_ns": time.monotonic_ns() if at_ns is None else at_ns, "event": event, **more}
        text = redact(json.dumps(row), self._secrets)
        self._events.append(json.loads(text))
        self._file.write(text + "\n")
        self._file.flush()

    def _store(self, ending: Mapping[str, Any]) -> None:
        write_json(self._folder / "records" / "ending.json", ending)
        known = {
            "hxbench": __version__,
            **facts.of_software(),
            "host": facts.of_host(),
            "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(self._folder / "facts.json", known)
        shutil.rmtree(self._folder / "journal")
        manifest.write(self._folder)
