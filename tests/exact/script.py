"""Sets things in libraries: scenarios run it in a namespace of its own."""

import calendar
import fractions
import json


def nicely(self: fractions.Fraction) -> str:
    """Write a fraction in words."""
    return f"{self.numerator} over {self.denominator}"


json.rate = 5  # type: ignore[attr-defined]
fractions.Fraction.nicely = nicely  # type: ignore[attr-defined]
calendar.setfirstweekday(3)
json.decoder.__all__.append("mine")
