"""Safe expressions over arrays: arithmetic, comparisons and a few functions, and nothing else.

An expression is parsed to Python's syntax tree, and only the nodes listed here are evaluated, each by a NumPy function.
It can neither call anything else nor reach an attribute, so that params.yaml cannot run code.
"""

import ast
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from skline.errors import SklineError

#: Functions by name, with their number of arguments.
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "log": (np.log, 1),
    "exp": (np.exp, 1),
    "min": (np.minimum, 2),
    "max": (np.maximum, 2),
    "where": (np.where, 3),
    "isnan": (lambda values: np.array([value is None or value != value for value in np.atleast_1d(values)]), 1),  # noqa: PLR0124
}
OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or,
    ast.Invert: np.logical_not,
    ast.Not: np.logical_not,
    ast.USub: np.negative,
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
#: Maximum nesting of an expression.
MAX_DEPTH = 40


class InvalidExpression(SklineError):
    """The expression uses something that is not allowed, or a name that does not exist."""


def parse_expression(text: str) -> ast.expr:
    """Parse an expression, and check that it holds nothing but what can be evaluated.

    Raises
    ------
    InvalidExpression
        Naming what is not allowed.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidExpression(f"{text!r} is no expression: {error}") from None
    _check(tree, text, 0)
    return tree


def names_in(tree: ast.expr) -> set[str]:
    """Return the names of the values that an expression reads."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions}


def evaluate(tree: ast.expr, values: Mapping[str, Any]) -> Any:
    """Evaluate an expression on arrays of shape (n,).

    Raises
    ------
    InvalidExpression
        If a name has no value, or an operation does not apply to a column's type.
    """
    try:
        with np.errstate(all="ignore"):
            return _evaluate(tree, values)
    except (TypeError, ValueError, OverflowError) as error:  # the last for integers beyond the range of floats
        raise InvalidExpression(f"{ast.unparse(tree)}: an operation does not fit its columns: {error}") from None


def _check(node: ast.AST, text: str, depth: int) -> None:
    """Reject any node that `_evaluate` does not know."""
    if depth > MAX_DEPTH:
        raise InvalidExpression(f"{text!r} is nested deeper than {MAX_DEPTH} levels; simplify it")
    children: list[ast.AST] = []
    match node:
        case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
            pass
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            children = [left, right]
        case ast.UnaryOp(op=operator, operand=operand) if type(operator) in OPERATORS:
            children = [operand]
        case ast.BoolOp(values=operands):
            children = list(operands)
        case ast.Compare(left=left, ops=operators, comparators=others) if all(type(o) in OPERATORS for o in operators):
            children = [left, *others]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            if len(arguments) != FUNCTIONS[name][1]:
                raise InvalidExpression(f"{text!r}: {name} takes {FUNCTIONS[name][1]} arguments, got {len(arguments)}")
            children = list(arguments)
        case _:
            raise InvalidExpression(
                f"{text!r}: {ast.unparse(node)!r} is not allowed; use columns, numbers, text, arithmetic, comparisons, "
                f"& | ~, and the functions {', '.join(FUNCTIONS)}"
            )
    for child in children:
        _check(child, text, depth + 1)


def _evaluate(node: ast.AST, values: Mapping[str, Any]) -> Any:  # noqa: PLR0911 (one return a kind of node)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            if name not in values:
                raise InvalidExpression(f"{name!r} has no values here; there are {', '.join(sorted(values))}")
            return values[name]
        case ast.BinOp(left=left, op=operator, right=right):
            return OPERATORS[type(operator)](_evaluate(left, values), _evaluate(right, values))
        case ast.UnaryOp(op=operator, operand=operand):
            return OPERATORS[type(operator)](_evaluate(operand, values))
        case ast.BoolOp(op=operator, values=operands):
            result = _evaluate(operands[0], values)
            for operand in operands[1:]:
                result = OPERATORS[type(operator)](result, _evaluate(operand, values))
            return result
        case ast.Compare():
            return _compare(node, values)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][0](*(_evaluate(argument, values) for argument in arguments))
    raise AssertionError(f"{ast.dump(node)} passed the check")


def _compare(node: ast.Compare, values: Mapping[str, Any]) -> Any:
    """Evaluate a chain of comparisons such as 0 < a <= 1."""
    terms = [_evaluate(term, values) for term in (node.left, *node.comparators)]
    result: Any = True
    for (first, second), operator in zip(pairwise(terms), node.ops, strict=True):
        result = np.logical_and(result, OPERATORS[type(operator)](first, second))
    return result
