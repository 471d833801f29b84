"""Tables of the registries, and which members of a class the reference shows."""

from importlib import import_module
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective


class RegistryTable(SphinxDirective):
    """``.. registry:: sklearn_mlloss.losses.LOSSES``: a row for each name, read from the code.

    The registry itself is documented with it, so that references to it become links.
    """

    required_arguments = 1
    columns: ClassVar = {
        "LOSSES": [
            ("scores", lambda cls: "probabilities" if cls.proper else "scores"),
            ("decoder", lambda cls: f"``{cls.default_decoder}``"),
        ],
        "DECODERS": [("learns", lambda cls: "yes" if cls.requires_fit else "no")],
    }

    def run(self) -> list[nodes.Node]:
        """Write the table in reST, and let Sphinx read it."""
        module, _, name = self.arguments[0].rpartition(".")
        further, value = (
            self.columns.get(name, []),
            getattr(import_module(module), name),
        )
        lines = [f".. py:data:: {name}", f"   :module: {module}", ""]
        if isinstance(value, list):
            return self._parsed([*lines, *(f"* ``{item}``" for item in value)])
        lines += [".. list-table::", "   :header-rows: 1", ""]
        lines += self._row(
            ["name", "class", *(title for title, _ in further), "what it is"]
        )
        for key, cls in sorted(value.items()):
            own = cls.__module__.startswith("sklearn_mlloss")
            summary = cls.__doc__.strip().splitlines()[0] if own else ""
            link = (
                f":py:class:`~{module}.{cls.__name__}`"
                if own
                else f"``{cls.__qualname__}``"
            )
            cells = [f"``{key}``", link]
            lines += self._row([*cells, *(show(cls) for _, show in further), summary])
        return self._parsed(lines)

    def _parsed(self, lines):
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), 0, holder)
        return holder.children

    def _row(self, cells):
        return [
            f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(cells)
        ]


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what a class inherits from scikit-learn or torch: it is documented there."""
    member = getattr(obj, "fget", obj)
    home = getattr(member, "__module__", None)
    return True if home and not home.startswith("sklearn_mlloss") else None


def setup(app):
    """Register both with Sphinx."""
    app.add_directive("registry", RegistryTable)
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True}
