# Copyright 2024 Function Stream Org.
# SPDX-License-Identifier: Apache-2.0

"""The standard library, in the snapshot: most modules imported, the sources of all others kept for those who want them.

When an instance runs, there is no folder to import from. So what functions commonly use is imported when the engine is built, and
is there at once; the rest is compiled when it is imported.
"""

import importlib
import importlib.abc
import importlib.util
import linecache
import os
import sys
import threading
import zlib

# These open a window, print, need a terminal, or are about the development of Python itself.
_LEFT = {
    "antigravity", "idlelib", "this", "turtle", "turtledemo", "test", "lib2to3", "pip", "ensurepip", "venv", "tkinter", "curses",
    "distutils", "msilib", "nt", "winreg", "winsound", "msvcrt", "ntpath", "pydoc_data", "__main__", "_pyrepl", "pyrepl",
    "_osx_support", "_aix_support", "_android_support", "_apple_support", "_ios_support", "dbm", "pty", "tty", "webbrowser",
}

# Submodules of packages that functions use.
_PACKAGES = (
    "asyncio", "collections", "concurrent", "email", "encodings", "html", "http", "importlib", "json", "logging", "pathlib", "re",
    "string", "unittest", "urllib", "wsgiref", "xml", "zipfile", "zoneinfo", "compression", "tomllib", "sysconfig",
)

# Modules that are there in name only: what they need is not in WebAssembly.
ABSENT = {
    "_bz2", "bz2", "_lzma", "lzma", "_ctypes", "ctypes", "mmap", "_mmap", "resource", "_ssl", "ssl", "_zstd", "tkinter", "_tkinter",
    "multiprocessing", "_multiprocessing", "curses", "_curses", "readline", "grp", "pwd", "fcntl", "termios",
    "_posixsubprocess", "dbm", "_dbm", "_gdbm", "_posixshmem", "syslog",
}


def _folder():
    # Not that of os, which is frozen into the interpreter and names a folder that is not there.
    return os.path.dirname(threading.__file__)


def _preload():
    for name in sorted(sys.stdlib_module_names - _LEFT):
        _try(name)
    for package in _PACKAGES:
        folder = os.path.join(_folder(), package)
        if os.path.isdir(folder):
            for file in sorted(os.listdir(folder)):
                if file.endswith(".py") and file not in ("__main__.py", "__init__.py"):
                    _try(f"{package}.{file.removesuffix('.py')}")
            for inner in ("mime", "dom", "etree", "parsers", "sax", "futures", "readers", "resources", "metadata"):
                if os.path.isdir(os.path.join(folder, inner)):
                    _try(f"{package}.{inner}")
                    for file in sorted(os.listdir(os.path.join(folder, inner))):
                        if file.endswith(".py") and file not in ("__main__.py", "__init__.py"):
                            _try(f"{package}.{inner}.{file.removesuffix('.py')}")


def _try(name):
    try:
        importlib.import_module(name)
    except BaseException:  # noqa: BLE001
        # Some exit, some fail in ways of their own: they are not for here.
        for key in [key for key in sys.modules if key == name]:
            del sys.modules[key]


def _keep():
    """Reads the sources of all modules that are not imported."""
    kept, root = {}, _folder()
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in ("test", "tests", "idlelib", "__pycache__", "site-packages", "lib2to3")]
        for file in files:
            if not file.endswith(".py"):
                continue
            path = os.path.join(folder, file)
            name = os.path.relpath(path, root)[:-3].replace(os.sep, ".")
            package = name.endswith(".__init__") or name == "__init__"
            name = name.removesuffix(".__init__")
            # Of what cannot work, its own name is to be told, not that of what it needs.
            if name in sys.modules or name.startswith("componentize_py") or name.partition(".")[0] in ABSENT:
                continue
            with open(path, "rb") as source:
                kept[name] = (zlib.compress(source.read(), 9), path, package)
    return kept


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds what was kept."""

    def __init__(self, kept):
        self._kept = kept

    def find_spec(self, name, path=None, target=None):
        if name not in self._kept:
            return None
        _, origin, package = self._kept[name]
        spec = importlib.util.spec_from_loader(name, self, origin=origin, is_package=package)
        spec.has_location = True
        return spec

    def is_package(self, name):
        return self._kept[name][2]

    def get_source(self, name):
        return zlib.decompress(self._kept[name][0]).decode()

    def get_code(self, name):
        return compile(zlib.decompress(self._kept[name][0]), self._kept[name][1], "exec", dont_inherit=True)

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)


_preload()
sys.meta_path.append(_Finder(_keep()))
linecache.clearcache()
