"""Training of the built-in network without autograd."""

__all__: list[str] = []
