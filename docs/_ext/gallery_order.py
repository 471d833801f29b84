"""In which order the gallery shows the examples: first things first."""

FIRST = [
    "quickstart",
    "search",
    "losses",
    "thresholds",
    "labels",
    "calibration",
    "training",
]


class Order:
    """Sorts the files of a folder.

    Parameters
    ----------
    folder : str
    """

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Return what a file is sorted by."""
        topic = name.removeprefix("plot_").removesuffix(".py")
        return (FIRST.index(topic) if topic in FIRST else len(FIRST), topic)
