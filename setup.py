"""The compiled core: built where a C compiler is, left out where none is. The rest: pyproject.toml.

TAILSTREAM_PURE=1 leaves it out anyway. SANITIZE=1 builds what `make fuzz` runs.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

PURE = os.environ.get("TAILSTREAM_PURE", "") not in {"", "0"}
SANITIZE = os.environ.get("SANITIZE", "") not in {"", "0"}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def extensions() -> list[Extension]:
    """Return an extension for each Cython file of the package, compiled to C under build/."""
    flags = ["-O1", "-g", "-fno-omit-frame-pointer", *SANITIZERS] if SANITIZE else ["-O3"]
    found = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [str(path)],
            extra_compile_args=flags,
            extra_link_args=SANITIZERS if SANITIZE else [],
        )
        for path in sorted(Path("stream").rglob("*.pyx"))
    ]
    made: list[Extension] = cythonize(found, build_dir="build/cython", language_level=3)
    for extension in made:
        # Without a compiler the pure-Python twin does it all. (cythonize forgets it, if told.)
        extension.optional = not SANITIZE
    return made


setup(
    ext_modules=[] if PURE else extensions(),
    # A sanitized build must not be found where a wheel's is looked for.
    options={"build": {"build_base": "build/sanitized"}} if SANITIZE else {},
)
