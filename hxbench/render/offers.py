"""What an object with many methods shows of itself: their names, and the first line of what each says."""

import inspect
from typing import ClassVar

from hxbench.records.run_directory import Records
from hxbench.render.tables import Table


class Offers:
    """Shows the public methods of what a user holds by the name `HELD`, such as `run.figures`."""

    HELD: ClassVar[str]

    def __repr__(self) -> str:
        return f"{self._named()}: {', '.join(self._offered())}"

    def _repr_html_(self) -> str:
        rows = [[f"{self.HELD}.{method}()", says] for method, says in self._offered().items()]
        return Table(rows, columns=[self._named().capitalize(), "What it returns"])._repr_html_()

    def _named(self) -> str:
        whose, _, what = self.HELD.partition(".")
        records: Records | None = getattr(self, "_records", None)
        return f"{what} of {records.path.name if records else f'the {whose}'}"

    def _offered(self) -> dict[str, str]:
        methods = {name: each for name, each in vars(type(self)).items() if inspect.isfunction(each)}
        return {
            name: (inspect.getdoc(each) or "").partition("\n")[0].removeprefix("Returns ")
            for name, each in methods.items()
            if not name.startswith("_")
        }
