"""A server that runs as a child of this process."""

from hxbench.record.children import Child


class StartedServer:
    """Its address and process, until `stop`."""

    def __init__(self, url: str, child: Child) -> None:
        self.url, self._child = url, child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def alive(self) -> bool:
        return self._child.status is None

    def stop(self) -> None:
        self._child.stop()
