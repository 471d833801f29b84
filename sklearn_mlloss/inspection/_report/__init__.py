"""Parts of the HTML report: what it measures, and how it is written."""

__all__: list[str] = []
