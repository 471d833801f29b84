"""From a name, a class or an object to the object: losses, decoders, calibrators and encodings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .messages import describe, did_you_mean
from .metric_names import advise_metric

__all__ = ["Registry", "make_default"]

T = TypeVar("T")


class Registry(dict[str, type[T]]):
    """A dict from names to the classes that a parameter accepts.

    Parameters
    ----------
    parameter : str
        Name of the parameter, for messages.
    base : type
        The class that all of them inherit from.
    classes : mapping from str to subclasses of `base`
    or_none : str, default=""
        For the message, "None, " if the parameter may be None.

    Examples
    --------
    >>> from sklearn_mlloss.decoders import DECODERS
    >>> DECODERS.resolve("argmax")
    Argmax()
    """

    def __init__(
        self, parameter: str, base: type[Any], classes: Mapping[str, type[T]], or_none: str = ""
    ):
        super().__init__(classes)
        self.parameter = parameter
        self.base = base
        self.or_none = or_none

    def resolve(self, spec: Any) -> T:
        """Return the object that `spec` stands for.

        Parameters
        ----------
        spec : str, class or object
            A name or a class gives a new object with default parameters; an object is returned as
            it is.

        Raises
        ------
        ValueError
            For an unknown name.
        TypeError
            For anything else.
        """
        if isinstance(spec, self.base):
            return spec
        if isinstance(spec, type) and issubclass(spec, self.base):
            return make_default(spec, self.parameter)
        kind, names = self.base.__name__, ", ".join(self)
        if not isinstance(spec, str):
            article = "an" if kind[0] in "AEIOU" else "a"
            raise TypeError(
                f"{self.parameter} must be {self.or_none}a name, {article} {kind} class or "
                f"{article} {kind}, got {describe(spec)}; the names are: {names}"
            )
        if spec not in self:
            raise ValueError(
                f"unknown {self.parameter} {describe(spec)}; the names are: {names}"
                f"{did_you_mean(spec, self) or advise_metric(spec)}"
            )
        return self[spec]()


def make_default(cls: type, parameter: str) -> Any:
    """Return an instance of a class that a parameter was set to."""
    try:
        return cls()
    except TypeError as error:
        raise TypeError(
            f"{parameter}={cls.__name__} cannot be made without arguments ({error}): give an "
            "instance"
        ) from error
