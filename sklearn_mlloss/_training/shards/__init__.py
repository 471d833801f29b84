"""Training on rows that are read by shards, since they do not fit in memory."""

__all__: list[str] = []
