"""An alert drill: which service is stopped, which alert must come of it, and until when."""

import re
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from hxbench.plan.fields import Duration, Line, Text, broken, listed
from hxbench.plan.messages import shown
from hxbench.plan.prometheus import Address
from hxbench.plan.section import Section, said

Command = Annotated[tuple[Line, ...], BeforeValidator(listed), Field(min_length=1)]


def _labels(written: dict[str, str]) -> dict[str, str]:
    for name in written:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,127}", name):
            raise broken((name,), "expected the name of a label, such as job")
    return written


def _loopback(written: str) -> str:
    """Returns an address of this machine alone: whoever else could reach it could pretend an alert."""
    host, _, port = written.rpartition(":")
    try:
        good = ip_address(host.strip("[]")).is_loopback and 0 < int(port) < 65536
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"expected a loopback address such as 127.0.0.1:9099, got {shown(written)}")
    return written


Listening = Annotated[
    str, Text("[0-9a-fA-F:.\\[\\]]{1,80}", "an address and a port such as 127.0.0.1:9099"),
    AfterValidator(_loopback),
]  # fmt: skip


class Alerts(Section):
    rule: Line
    """The alert's name, as in the rule of Prometheus."""
    labels: Annotated[dict[str, Line], AfterValidator(_labels)] = Field(default_factory=dict)
    """Labels that the alert must carry; it may carry others too."""
    stop: Command
    """The program that stops the service, and its arguments: a list, for no shell reads it."""
    restore: Command
    """The program that starts the service again and then ends."""
    command_timeout: Duration = said("60 s")
    """How long either of them may take."""
    receiver: Listening = "127.0.0.1:9099"
    """Where hxbench listens during the drill: Alertmanager needs a webhook that posts there."""
    alertmanager: Address | None = None
    """Is asked as well where it is given, such as http://127.0.0.1:9093."""
    within: Duration = said("5 min")
    """From the stop until the alert is received; so long is waited at most."""
    clears_within: Duration = said("10 min")
    """From the restore until the alert is gone and the receiver knows; so long is waited at most."""

    @property
    def listens_at(self) -> tuple[str, int]:
        """Host and port of the receiver."""
        host, _, port = self.receiver.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def wanted(self) -> dict[str, str]:
        """All labels by which the alert is known, its name among them."""
        return {"alertname": self.rule, **self.labels}

    def concerns(self, labels: Any) -> bool:
        """Tells whether an alert with these labels is the one; whatever else they are is none."""
        return isinstance(labels, dict) and self.wanted.items() <= labels.items()
