"""Wrap what a kata's specification makes public: its functions, and the methods of its classes."""

import ast
import inspect
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from dojo.catalog import specification


def wrap_public(module: ModuleType, wrapper: Callable[[Any], Any], skip: Collection[str] = ()) -> None:
    """Replace each public function and method of a served kata by `wrapper(function)`, in place.

    Which ones are public is read from the specification; a learner's helpers are left alone.
    """
    address = "/".join(module.__name__.split(".")[1:])
    for node in specification.tree_of(address).body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or not specification.is_public(node.name):
            continue
        member = getattr(module, node.name, None)
        if isinstance(node, ast.ClassDef) and inspect.isclass(member):
            for method in node.body:
                name = getattr(method, "name", "_")
                if specification.is_public(name) and name not in skip and name in vars(member):
                    setattr(member, name, wrapped_member(vars(member)[name], wrapper))
        elif inspect.isfunction(member):
            setattr(module, node.name, wrapper(member))


def wrapped_member(member: Any, wrapper: Callable[[Any], Any]) -> Any:
    """A method, wrapped, whatever descriptor it stands in."""
    if isinstance(member, staticmethod | classmethod):
        return type(member)(wrapper(member.__func__))
    if isinstance(member, property):
        return property(member.fget and wrapper(member.fget), member.fset, member.fdel, member.__doc__)
    return wrapper(member) if inspect.isfunction(member) else member
