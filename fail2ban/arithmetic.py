# SPDX-License-Identifier: GPL-2.0-or-later
"""Compute what a configuration says in arithmetic, without running any of it.

A formula is parsed once, each part of it checked against what is listed here, and
becomes functions that call each other. Nothing of Python is within its reach but
numbers, and none of these can grow beyond what a processor handles at once.

Source: jail-conf.md sections 5.3 and 5.5.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass

from fail2ban.errors import Fail2BanError

#: Characters that a formula may have.
LONGEST_TEXT = 1000
# Whole numbers of more bits do not fit into a float.
_BITS = 1000
# Digits behind the point that `round` may be asked for.
_DIGITS = 20
# The largest argument of functions that grow faster than any power.
_STEEPEST = 170

Number = int | float


class ArithmeticProblem(Fail2BanError, ValueError):
    """A formula cannot be read, or has no result; says what would be right."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What a formula computes with, see `Formula`."""

    time: float
    count: int
    factor: float
    rng: random.Random


_Part = Callable[[_Given], Number]


class Formula:
    """A formula that was checked; equal texts make equal formulas.

    Attributes:
        text: as it was written.
    """

    def __init__(self, text: str, part: _Part) -> None:
        self.text = text
        self._part = part

    def __call__(self, time: float, count: int, factor: float, rng: random.Random) -> float:
        """Return the result, a finite number. Any thread.

        Args:
            time: `ban.Time`, the usual length of a ban in seconds.
            count: `ban.Count`, the number of earlier bans.
            factor: `banFactor`.
            rng: what `random.random()` and its like draw from.

        Raises:
            ArithmeticProblem: it divides by 0, or a number becomes too large.
        """
        # Bits are shifted in whole numbers only.
        whole = int(time) if time == int(time) else time
        return float(_computed(self._part, _Given(whole, count, factor, rng), self.text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Formula) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def formula(text: str) -> Formula:
    """Check a formula of `ban.Time`, `ban.Count`, `banFactor`, `math` and `random`.

    Raises:
        ArithmeticProblem: something in it is no arithmetic.
    """
    return Formula(text, _Compiler(_NAMES).compile(text))


def number(text: str) -> Number:
    """Compute an expression of numbers alone, as "10*60".

    Raises:
        ArithmeticProblem: something in it is no arithmetic, or it has no result.
    """
    part = _Compiler({}).compile(text)
    return _computed(part, _Given(0, 0, 0, random.Random(0)), text)


def _computed(part: _Part, given: _Given, text: str) -> Number:
    try:
        return part(given)
    except ZeroDivisionError:
        why = "it divides by 0"
    except OverflowError:
        why = "a number in it becomes too large"
    except (ValueError, TypeError, IndexError) as error:
        why = str(error)
    raise ArithmeticProblem(f"{_shown(text)} has no result: {why}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


# Numbers that stay small -----------------------------------------------------


def _checked(value: object) -> Number:
    """Let a number pass that is real, finite and not too large."""
    if isinstance(value, int):
        if value.bit_length() > _BITS:
            raise OverflowError
        return value
    if not isinstance(value, float):
        raise TypeError("only real numbers can be computed with")
    if not math.isfinite(value):
        raise OverflowError
    return value


def _whole(value: Number) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value} is not a whole number")
    return value


def _bitwise(work: Callable[[int, int], int]) -> Callable[[Number, Number], object]:
    return lambda left, right: work(_whole(left), _whole(right))


def _power(base: Number, exponent: Number) -> object:
    both_whole = isinstance(base, int) and isinstance(exponent, int)
    if both_whole and abs(base) > 1 and _whole(base).bit_length() * abs(exponent) > 2 * _BITS:
        raise OverflowError
    return base**exponent


def _shift_left(value: int, by: int) -> int:
    if by > _BITS:
        raise OverflowError
    return value << by


def _round(value: Number, digits: Number = 0) -> object:
    if abs(digits) > _DIGITS:
        raise OverflowError
    return round(value, _whole(digits)) if digits else round(value)


def _steep(work: Callable[..., int]) -> Callable[..., object]:
    def bounded(*numbers: Number) -> object:
        if any(abs(one) > _STEEPEST for one in numbers):
            raise OverflowError
        return work(*map(_whole, numbers))

    return bounded


# What a formula may say ------------------------------------------------------


_BINARY: dict[type[ast.AST], Callable[[Number, Number], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.LShift: _bitwise(_shift_left),
    ast.RShift: _bitwise(operator.rshift),
    ast.BitAnd: _bitwise(operator.and_),
    ast.BitOr: _bitwise(operator.or_),
    ast.BitXor: _bitwise(operator.xor),
}
_UNARY: dict[type[ast.AST], Callable[[Number], object]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: lambda value: ~_whole(value),
}
_COMPARE: dict[type[ast.AST], Callable[[Number, Number], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

_PLAIN_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees erf erfc exp "
    "exp2 expm1 fabs floor fmod gcd hypot isqrt ldexp log log10 log1p log2 pow radians "
    "remainder sin sinh sqrt tan tanh trunc"
).split()
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "abs": abs,
    "bool": bool,
    "float": float,
    "int": int,
    "max": max,
    "min": min,
    "pow": _power,
    "round": _round,
    "sum": lambda *numbers: sum(numbers),
    **{f"math.{name}": getattr(math, name) for name in _PLAIN_MATH},
    **{f"math.{name}": _steep(getattr(math, name)) for name in ("comb", "factorial", "perm")},
}
_RANDOM: dict[str, Callable[..., Callable[..., object]]] = {
    "random.choice": lambda rng: lambda *numbers: rng.choice(numbers),
    "random.expovariate": lambda rng: rng.expovariate,
    "random.gauss": lambda rng: rng.gauss,
    "random.randint": lambda rng: rng.randint,
    "random.random": lambda rng: rng.random,
    "random.randrange": lambda rng: rng.randrange,
    "random.triangular": lambda rng: rng.triangular,
    "random.uniform": lambda rng: rng.uniform,
}
#: Functions that take their numbers as one list, too.
_OF_LISTS = frozenset({"max", "min", "sum", "random.choice"})
_NAMES: dict[str, _Part] = {
    "ban.Time": lambda given: given.time,
    "ban.Count": lambda given: given.count,
    "banFactor": lambda given: given.factor,
    "math.e": lambda given: math.e,
    "math.pi": lambda given: math.pi,
    "math.tau": lambda given: math.tau,
}


class _Compiler:
    """Turns the syntax tree of a formula into functions.

    Args:
        names: the values it may speak of; without any it may call nothing either.
    """

    def __init__(self, names: dict[str, _Part]) -> None:
        self._names = names
        self._compilers: dict[type[ast.AST], Callable[..., _Part]] = {
            ast.Constant: self._constant,
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._logical,
            ast.Compare: self._comparison,
            ast.IfExp: self._conditional,
            ast.Name: self._name,
            ast.Attribute: self._name,
            ast.Call: self._call,
            ast.Subscript: self._element,
        }

    def compile(self, text: str) -> _Part:
        if len(text) > LONGEST_TEXT:
            raise ArithmeticProblem(
                f"{_shown(text)} is too long; expected at most {LONGEST_TEXT} characters"
            )
        # A comment ends with its line; what follows continues the formula.
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        try:
            tree = ast.parse(" ".join(lines).strip(), mode="eval")
            return self._part(tree.body)
        except ArithmeticProblem as error:
            raise ArithmeticProblem(f"{_shown(text)} is no arithmetic: {error}") from None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            expected = "expected numbers, operators and parentheses that match"
            raise ArithmeticProblem(f"{_shown(text)} is no arithmetic; {expected}") from None

    def _part(self, node: ast.AST) -> _Part:
        compiler = self._compilers.get(type(node))
        if compiler is None:
            raise self._unknown(node)
        return compiler(node)

    def _unknown(self, node: ast.AST) -> ArithmeticProblem:
        if not self._names:
            return ArithmeticProblem(f"{_shown(ast.unparse(node))} is neither number nor operator")
        known = "ban.Time, ban.Count, banFactor, and functions as min, math.exp, random.random"
        return ArithmeticProblem(f"{_shown(ast.unparse(node))} is unknown; expected {known}")

    def _constant(self, node: ast.Constant) -> _Part:
        value = node.value
        if not isinstance(value, int | float):
            raise self._unknown(node)
        return lambda given: _checked(value)

    def _binary(self, node: ast.BinOp) -> _Part:
        left, right = self._part(node.left), self._part(node.right)
        if type(node.op) not in _BINARY:
            raise self._unknown(node)
        work = _BINARY[type(node.op)]
        return lambda given: _checked(work(left(given), right(given)))

    def _unary(self, node: ast.UnaryOp) -> _Part:
        operand, work = self._part(node.operand), _UNARY[type(node.op)]
        return lambda given: _checked(work(operand(given)))

    def _logical(self, node: ast.BoolOp) -> _Part:
        first, *others = map(self._part, node.values)
        wanted = isinstance(node.op, ast.And)

        def value(given: _Given) -> Number:
            found = first(given)
            for other in others:
                if bool(found) is not wanted:
                    break
                found = other(given)
            return found

        return value

    def _comparison(self, node: ast.Compare) -> _Part:
        if any(type(one) not in _COMPARE for one in node.ops):
            raise self._unknown(node)
        parts = [self._part(one) for one in (node.left, *node.comparators)]
        works = [_COMPARE[type(one)] for one in node.ops]

        def value(given: _Given) -> Number:
            numbers = [part(given) for part in parts]
            pairs = itertools.pairwise(numbers)
            return all(work(*pair) for work, pair in zip(works, pairs, strict=True))

        return value

    def _conditional(self, node: ast.IfExp) -> _Part:
        test, yes, no = map(self._part, (node.test, node.body, node.orelse))
        return lambda given: yes(given) if test(given) else no(given)

    def _name(self, node: ast.Name | ast.Attribute) -> _Part:
        found = self._names.get(_dotted(node))
        if found is None:
            raise self._unknown(node)
        return found

    def _call(self, node: ast.Call) -> _Part:
        name = _dotted(node.func)
        if not self._names or node.keywords or name not in _FUNCTIONS | _RANDOM:
            raise self._unknown(node)
        parts = self._arguments(name, node.args)
        if name in _RANDOM:
            draw = _RANDOM[name]
            return lambda given: _checked(draw(given.rng)(*(part(given) for part in parts)))
        work = _FUNCTIONS[name]
        return lambda given: _checked(work(*(part(given) for part in parts)))

    def _arguments(self, name: str, nodes: list[ast.expr]) -> list[_Part]:
        if name in _OF_LISTS and len(nodes) == 1 and isinstance(nodes[0], ast.List | ast.Tuple):
            nodes = nodes[0].elts
        return [self._part(node) for node in nodes]

    def _element(self, node: ast.Subscript) -> _Part:
        """Compile what takes one number of a list: `[1, 5, 30][ban.Count]`."""
        if not isinstance(node.value, ast.List | ast.Tuple):
            raise self._unknown(node)
        parts, index = [self._part(one) for one in node.value.elts], self._part(node.slice)
        return lambda given: parts[_whole(index(given))](given)


def _dotted(node: ast.AST) -> str:
    """Return `name` or `name.attribute`; empty for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
