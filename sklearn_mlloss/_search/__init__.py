"""Search over losses, parameters, calibrations and decoders."""

__all__: list[str] = []
