# SPDX-License-Identifier: GPL-2.0-or-later
"""Write metrics as the text that Prometheus reads.

Source: "Text-based format" version 0.0.4 in Prometheus' documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One number.

    Attributes:
        suffix: what its name has behind that of its family, as "_bucket".
        labels: name and value of each; a value may be any text.
    """

    suffix: str
    labels: Labels
    value: float


@dataclass(frozen=True)
class Family:
    """Numbers of one kind.

    Attributes:
        name: with its unit, without "_total".
        help: what it means, one sentence.
        samples: those of a counter have the suffix "_total", those of a histogram
            "_bucket", with the label "le", "_sum" and "_count".
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: tuple[Sample, ...]


def text(families: Iterable[Family]) -> str:
    """Write families; those without samples are left out."""
    return "".join(_family(family) for family in families if family.samples)


def number(value: float) -> str:
    """Write a number; a whole one without a fraction."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _family(family: Family) -> str:
    name = family.name + ("_total" if family.kind == "counter" else "")
    lines = [f"# HELP {name} {_escape(family.help)}\n", f"# TYPE {name} {family.kind}\n"]
    return "".join(lines + [_sample(family.name, sample) for sample in family.samples])


def _sample(name: str, sample: Sample) -> str:
    quoted = [f'{key}="{_quotes(_escape(value))}"' for key, value in sample.labels]
    labels = "{" + ",".join(quoted) + "}" if quoted else ""
    return f"{name}{sample.suffix}{labels} {number(sample.value)}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quotes(text: str) -> str:
    return text.replace('"', r"\"")
