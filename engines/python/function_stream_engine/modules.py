# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The function's files: how they are imported and read, and what is said of modules that cannot be."""

import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.resources.abc
import importlib.util
import io
import linecache
import pathlib
import re
import sys

from . import stdlib

# What the engine and the interpreter are made of.
_NEEDED = {
    "__main__", "_frozen_importlib", "_frozen_importlib_external", "builtins", "encodings", "fs_api", "fs_api_advanced",
    "function_stream_engine", "functionstream", "importlib", "io", "os", "site", "sys", "wit_world", "zipimport",
    "componentize_py_runtime", "componentize_py_types", "componentize_py_async_support", "poll_loop",
}

_NATIVE = re.compile(r"\.(so|pyd|dylib)$")


class _Files(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports from files in memory, by their paths."""

    def __init__(self, files):
        self.files = files

    def find_spec(self, name, path=None, target=None):
        place = name.replace(".", "/")
        for file, package in ((f"{place}/__init__.py", True), (f"{place}.py", False)):
            if file in self.files:
                spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=package)
                spec.has_location = True
                if package:
                    spec.submodule_search_locations = [place]
                return spec
        native = next((file for file in self.files if _NATIVE.search(file) and file.split(".", 1)[0] == place), None)
        if native:
            raise ImportError(f"'{name}' is a native module ({native}): it cannot be loaded in WebAssembly", name=name)
        if any(file.startswith(f"{place}/") for file in self.files):
            # A folder without __init__.py.
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [place]
            return spec
        return None

    def is_package(self, name):
        return f"{name.replace('.', '/')}/__init__.py" in self.files

    def _file(self, name):
        place = name.replace(".", "/")
        return f"{place}/__init__.py" if self.is_package(name) else f"{place}.py"

    def get_filename(self, name):
        return self._file(name)

    def get_source(self, name):
        return importlib.util.decode_source(self.files[self._file(name)])

    def get_code(self, name):
        file = self._file(name)
        _show(file, self.files[file])
        return compile(self.files[file], file, "exec", dont_inherit=True)

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)

    def get_data(self, path):
        try:
            return self.files[str(path)]
        except KeyError:
            raise FileNotFoundError(f"the function has no file '{path}'") from None

    def get_resource_reader(self, name):
        return _Resources(_File(self.files, name.replace(".", "/")))

    def find_distributions(self, context):
        for file in self.files:
            folder, _, rest = file.partition("/")
            if rest == "METADATA" and folder.endswith(".dist-info"):
                name = folder.removesuffix(".dist-info").rpartition("-")[0]
                if context.name is None or _plain(context.name) == _plain(name):
                    yield _Distribution(self.files, folder)


def _plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


class _Distribution(importlib.metadata.Distribution):
    def __init__(self, files, folder):
        self._files, self._folder = files, folder

    def read_text(self, filename):
        data = self._files.get(f"{self._folder}/{filename}")
        return None if data is None else data.decode()

    def locate_file(self, path):
        return pathlib.PurePosixPath(path)


class _Resources(importlib.resources.abc.TraversableResources):
    def __init__(self, root):
        self._root = root

    def files(self):
        return self._root


class _File(importlib.resources.abc.Traversable):
    """A file or a folder of the function."""

    def __init__(self, files, path):
        self._files, self._path = files, path

    @property
    def name(self):
        return self._path.rpartition("/")[2]

    def is_file(self):
        return self._path in self._files

    def is_dir(self):
        return any(file.startswith(f"{self._path}/") for file in self._files)

    def iterdir(self):
        start = f"{self._path}/"
        names = {file[len(start) :].partition("/")[0] for file in self._files if file.startswith(start)}
        return (self.joinpath(name) for name in sorted(names))

    def joinpath(self, *parts):
        return _File(self._files, "/".join((self._path, *map(str, parts))))

    def open(self, mode="r", *args, **kwargs):
        if not self.is_file():
            raise FileNotFoundError(f"the function has no file '{self._path}'")
        data = io.BytesIO(self._files[self._path])
        return data if "b" in mode else io.TextIOWrapper(data, *args, **kwargs)

    def read_bytes(self):
        return self.open("rb").read()

    def read_text(self, encoding=None):
        return self.read_bytes().decode(encoding or "utf-8")


_files = _Files({})


def install(files):
    """Makes these files what is imported from, before anything else."""
    _files.files = files
    for name in {file.partition("/")[0].removesuffix(".py") for file in files}:
        _forget(name)
    if _files not in sys.meta_path:
        sys.meta_path.insert(0, _files)


def _forget(name):
    """Lets a file of the function come before a module of the standard library of the same name, as it does elsewhere."""
    if name in sys.builtin_module_names or name.partition(".")[0] in _NEEDED:
        return
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]


def sources():
    """Returns the Python files."""
    return [(file, data) for file, data in _files.files.items() if file.endswith(".py")]


def name_of(file):
    """Returns the module's name of a file."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def run(name):
    """Imports the function's own module."""
    return importlib.import_module(name)


def advice(name):
    """Returns what to say of a module that was not found."""
    top = name.partition(".")[0]
    if name in stdlib.ABSENT or top in stdlib.ABSENT:
        return "this module of the standard library cannot work in WebAssembly"
    return "put its files beside the function's own; a package with native code cannot be loaded in WebAssembly"


def _show(file, data):
    """Lets tracebacks show the lines of a file."""
    try:
        lines = importlib.util.decode_source(data).splitlines(keepends=True)
    except (SyntaxError, UnicodeDecodeError):
        return
    linecache.cache[file] = (len(data), None, lines, file)
