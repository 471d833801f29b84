"""What comes after the scores: calibration, decoder, and the rows that they are fitted on."""

__all__: list[str] = []
