"""What comes in: one definition of each check and each form. numpy and scikit-learn only."""

__all__: list[str] = []
