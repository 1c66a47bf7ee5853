"""What an object with many methods shows of itself: their names, and the first line of what each says."""

import inspect

from hxbench.records.run_directory import Records
from hxbench.render.tables import Table


class Offers:
    """Shows the public methods of a class that is made from the records of a run."""

    _records: Records

    def __repr__(self) -> str:
        return f"{self._named()}: {', '.join(self._offered())}"

    def _repr_html_(self) -> str:
        name = type(self).__name__.lower()
        rows = [[f"run.{name}.{method}()", says] for method, says in self._offered().items()]
        return Table(rows, columns=[self._named().capitalize(), "What it returns"])._repr_html_()

    def _named(self) -> str:
        return f"{type(self).__name__.lower()} of {self._records.path.name}"

    def _offered(self) -> dict[str, str]:
        methods = {name: each for name, each in vars(type(self)).items() if inspect.isfunction(each)}
        return {
            name: (inspect.getdoc(each) or "").partition("\n")[0].removeprefix("Returns ")
            for name, each in methods.items()
            if not name.startswith("_")
        }
