"""Training of nets: tables in memory, batches of them, and the skorch net."""

__all__: list[str] = []
