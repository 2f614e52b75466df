# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The source of a class: its module, and the modules of its own folder that it imports."""

import ast
import importlib.util
import inspect
from pathlib import Path


def modules_of(driver_class):
    """Returns (name, bytes) of the modules that a class needs, its own first."""
    file = Path(inspect.getfile(driver_class)).resolve()
    own = driver_class.__module__
    # A module within a package is imported by its whole name from above all of its packages.
    root = file.parent
    for _ in range(own.count(".") + (file.name == "__init__.py")):
        root = root.parent
    name = file.stem if own == "__main__" else own
    found, waiting = {}, [(name, file)]
    while waiting:
        name, file = waiting.pop(0)
        if name in found:
            continue
        data = file.read_bytes()
        found[name] = data
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for imported in _imports(data, package):
            waiting += [module for module in _local(imported, root) if module[0] not in found]
    return list(found.items())


def _imports(data, package):
    """Yields the names that a module imports, or may import: of a `from`, what comes after it may be a module, too."""
    for node in ast.walk(ast.parse(data)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def _local(name, root):
    """Yields a module of the folder, and the packages that it is in."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:end])
        for file in (place / "__init__.py", place.with_name(place.name + ".py")):
            if file.is_file():
                yield ".".join(parts[:end]), file
                break
