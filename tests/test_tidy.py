"""The repository checks itself: what the design asks for and a machine can see.

Each message names the place and what to do instead.
"""

import ast
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from stream import reference
from stream.cli import COMMANDS
from stream.metrics import ALL_DECLARATIONS
from tests.harness.repository import (
    ROOT,
    comments,
    dotted,
    functions,
    imports,
    layer_of,
    module_name,
    nodes,
    package_files,
    paths_named_in,
    python_files,
    repository_files,
    text_of,
)

# Imports go downwards only. A name is a module or a package directly under stream/.
LAYERS = [
    "cli",
    "app",
    "reference",
    "decide",
    "explain",
    "compare",
    "start",
    "web",
    "timers",
    "promoting",
    "lookout",
    "host",
    "restoring",
    "failures",
    "poison",
    "slot",
    "allocator",
    "measurements",
    "ownership",
    "standstill",
    "unattended",
    "unclaimed",
    "exits",
    "version",
    "settings",
    "demo",
    "exemplars",
    "export",
    "rekey",
    "companion",
    "worker",
    "kafka",
    "state",
    "sampling",
    "assembly",
    "otlp",
    "propagation",
    "metrics",
    "clock",
    "compiled",
    "logs",
    "printable",
]
TEST_KIT = "testing"  # imports all, imported by none
ENTRY_POINTS = {
    *("stream", "stream.cli", "stream.app", "stream.reference"),
    *(f"stream.cli.{command}" for command in COMMANDS),
    *(f"stream.propagation.{client}" for client in ("confluent", "aiokafka", "faust")),
    *(f"stream.propagation.{way}" for way in ("boundaries", "span_exporter", "metric_exporter")),
}

KAFKA_CLIENT_LAYERS = {"kafka", "propagation"}
KAFKA_CLIENT_APPLICATION = "stream/demo/shop/"  # what an application does with Kafka, shown
FAUST_LAYERS = {"app", "kafka", "state", "cli", "propagation"}
CLOCK_LAYERS = {"clock", TEST_KIT, "demo"}
CORE_LAYERS = {"sampling", "assembly", "otlp"}
CORE_MUST_NOT_IMPORT = {
    *("aiohttp", "confluent_kafka", "faust", "mode", "prometheus_client", "rocksdict", "structlog"),
    *("asyncio", "concurrent", "multiprocessing", "select", "signal", "subprocess", "threading"),
    *("datetime", "random", "secrets", "time", "uuid"),
    *(
        "http",
        "io",
        "logging",
        "os",
        "pathlib",
        "shutil",
        "socket",
        "sqlite3",
        "sys",
        "tempfile",
        "urllib",
    ),
}
CLOCK_READS = {
    *(
        f"time.{name}{unit}"
        for name in ("time", "monotonic", "perf_counter")
        for unit in ("", "_ns")
    ),
    *("time.localtime", "time.gmtime", "time.ctime", "time.strftime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("os.urandom", "uuid.uuid1", "uuid.uuid4"),
}

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_NEARLY_ALL = 25
FILE_LINES_MAX = 400


def test_imports_go_downwards_only() -> None:
    wrong = []
    for path in package_files():
        layer = layer_of(path)
        if layer is None or layer == TEST_KIT:
            continue
        assert layer in LAYERS, f"{path}: give the new layer {layer!r} its place in LAYERS"
        for line, module in imports(path):
            target = module.removeprefix("stream.").split(".")[0]
            if not module.startswith("stream.") or target == layer:
                continue
            if target == TEST_KIT or LAYERS.index(target) < LAYERS.index(layer):
                wrong.append(f"{path}:{line} {layer} imports {module}, which lies above it")
    assert not wrong, listing(wrong)


def test_the_package_itself_imports_nothing() -> None:
    assert not list(imports(Path("stream/__init__.py")))


def test_only_the_kafka_layer_knows_the_kafka_client() -> None:
    layers = KAFKA_CLIENT_LAYERS | {TEST_KIT}
    assert_imported_only_in("confluent_kafka", layers, KAFKA_CLIENT_APPLICATION)


def test_faust_stays_at_the_edge() -> None:
    assert_imported_only_in("faust", FAUST_LAYERS)
    assert_imported_only_in("mode", FAUST_LAYERS)


def test_the_core_does_no_io() -> None:
    wrong = [
        f"{path}:{line} the core imports {module}"
        for path in package_files()
        if layer_of(path) in CORE_LAYERS
        for line, module in imports(path)
        if module.split(".")[0] in CORE_MUST_NOT_IMPORT
    ]
    wrong += [
        f"{path}:{call.lineno} the core calls {dotted(call.func)}"
        for path in package_files()
        if layer_of(path) in CORE_LAYERS
        for call in nodes(path, ast.Call)
        if dotted(call.func) in {"open", "print", "input"}
    ]
    assert not wrong, listing(wrong)


def test_one_module_reads_the_clock_and_none_throws_dice() -> None:
    wrong = []
    for path in package_files():
        if layer_of(path) in CLOCK_LAYERS:
            continue
        wrong += [
            f"{path}:{node.lineno} {dotted(node)}: take it from stream.clock, or as an argument"
            for node in nodes(path, ast.Attribute)
            if ".".join(dotted(node).split(".")[-2:]) in CLOCK_READS
        ]
        wrong += [
            f"{path}:{line} {module}: only stream.clock, the test kit and the demo may"
            for line, module in imports(path)
            if module.split(".")[0] in {"random", "secrets"} or module in CLOCK_READS
        ]
    assert not wrong, listing(wrong)


def test_chance_is_seeded() -> None:
    wrong = []
    for path in package_files():
        for call in nodes(path, ast.Call):
            name = dotted(call.func)
            unseeded = name in {"random.Random", "Random"} and not (call.args or call.keywords)
            if unseeded or (name.startswith("random.") and name != "random.Random"):
                wrong.append(f"{path}:{call.lineno} {name}(): use a Random with a seed")
    assert not wrong, listing(wrong)


def test_functions_and_files_are_short() -> None:
    lengths = {
        f"{path}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in package_files()
        for node in functions(path)
    }
    wrong = [f"{name}: {n} lines" for name, n in lengths.items() if n > FUNCTION_LINES_MAX]
    files = {path: (ROOT / path).read_text().count("\n") for path in package_files()}
    wrong += [f"{path}: {n} lines" for path, n in files.items() if n > FILE_LINES_MAX]
    assert not wrong, listing(wrong)

    nearly_all = statistics.quantiles(lengths.values(), n=10)[-1]
    assert nearly_all < FUNCTION_LINES_NEARLY_ALL, (
        f"a tenth of the functions has {nearly_all:.0f} lines or more"
    )


def test_no_module_is_never_imported() -> None:
    named = set(ENTRY_POINTS)
    for path in package_files():
        named |= {module for _, module in imports(path) if module != module_name(path)}
        named |= {str(node.value) for node in nodes(path, ast.Constant)}
    for path in python_files("tests"):  # the test kit is there for them
        named |= {module for _, module in imports(path) if module.startswith("stream.testing")}
    orphans = [
        str(path)
        for path in package_files()
        if path.name not in {"__init__.py", "__main__.py"} and module_name(path) not in named
    ]
    assert not orphans, listing(orphans)


def test_paths_named_in_texts_exist() -> None:
    top = {path.parts[0] for path in repository_files()}
    wrong = []
    for path in repository_files():
        if path.suffix not in {".md", ".py"}:
            continue
        for line, named in paths_named_in(path):
            if named.split("/")[0] in top and not (ROOT / named).exists():
                wrong.append(f"{path}:{line} names {named}, which is not there")
    assert not wrong, listing(wrong)


def test_links_in_markdown_lead_somewhere() -> None:
    wrong = []
    for path in repository_files():
        if path.suffix != ".md":
            continue
        text = (ROOT / path).read_text()
        wrong += [
            f"{path} links to {link}, which is not there"
            for link in re.findall(r"\]\(([^)#\s]+)", text)
            if "://" not in link and not (ROOT / path.parent / link).exists()
        ]
    assert not wrong, listing(wrong)


def test_every_silenced_check_says_which_and_why() -> None:
    which_and_why = {
        "noqa": re.compile(r"#\s*noqa:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*\W+\w+\W+\w+"),
        "type: ignore": re.compile(r"#\s*type:\s*ignore\[[\w\s,-]+\]\W+\w+\W+\w+"),
        "pragma: no cover": re.compile(r"#\s*pragma: no cover\W+\w+\W+\w+"),
    }
    wrong = [
        f"{path}:{line} {comment}"
        for path in python_files()
        for line, comment in comments(path)
        for silencer, good in which_and_why.items()
        if re.search(rf"#\s*{silencer}", comment) and not good.search(comment)
    ]
    assert not wrong, listing(wrong)


def test_no_exception_is_swallowed() -> None:
    wrong = []
    for path in python_files():
        for handler in nodes(path, ast.ExceptHandler):
            last = handler.body[-1]
            does_nothing = len(handler.body) == 1 and (
                isinstance(last, ast.Pass | ast.Continue | ast.Break)
                or (isinstance(last, ast.Return) and isinstance(last.value, ast.Constant | None))
                or (isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant))
            )
            if does_nothing and catches_everything(handler.type):
                wrong.append(f"{path}:{handler.lineno}")
        wrong += [
            f"{path}:{call.lineno}"
            for call in nodes(path, ast.Call)
            if dotted(call.func).endswith("suppress") and any(map(catches_everything, call.args))
        ]
    assert not wrong, listing(wrong)


def test_no_test_skips_itself() -> None:
    wrong = []
    for path in python_files("tests"):
        on_linux = {
            id(call.func)
            for call in nodes(path, ast.Call)
            if call.args and "sys.platform" in ast.unparse(call.args[0])
        }
        wrong += [
            f"{path}:{node.lineno} {dotted(node)}: fail, and say what is missing (pytest.fail)"
            for node in nodes(path, ast.Attribute)
            if re.fullmatch(r"pytest\.(mark\.)?(skip|skipif|importorskip)", dotted(node))
            and id(node) not in on_linux
        ]
    assert not wrong, listing(wrong)


def test_the_tree_names_no_machine() -> None:
    bad = re.compile(r"(?<![\w.])/(?:work|root|Users)/|(?:index-url|registry)\s*[=:]\s*.?https?:")
    hosts = package_hosts_of_this_machine()
    wrong = []
    for path in repository_files():
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if bad.search(line) or any(host in line for host in hosts):
                wrong.append(f"{path}:{number} {line.strip()[:100]}")
    assert not wrong, listing(wrong)


def test_every_development_tool_is_pinned() -> None:
    lines = text_of(Path("constraints.txt")).splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)]
    assert not wrong, listing(wrong)


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = set(re.findall(r"^ {4}(make test.*)$", text_of(Path("README.md")), re.MULTILINE))
    assert re.search(rf"^step \d+ {command}$", text_of(Path(".ci/run")), re.MULTILINE)


def test_the_readme_names_commands_that_exist() -> None:
    readme = text_of(Path("README.md"))
    targets = re.findall(r"^([a-z]+):.*## ", text_of(Path("Makefile")), re.MULTILINE)
    wrong = [
        f"{program} {word}"
        for program, known in (("make", targets), ("tailstream", COMMANDS))
        for word in re.findall(rf"^ *{program} ([a-z]+)", readme, re.MULTILINE)
        if word not in known
    ]
    assert not wrong, listing(wrong)


def test_generated_tables_are_current() -> None:
    readme = text_of(Path("README.md"))
    assert reference.written(readme) == readme, "make docs writes them anew"


def test_every_metric_is_declared_once_and_used() -> None:
    declared = [declaration.name for declaration in ALL_DECLARATIONS]
    used = {
        str(node.value)
        for path in package_files()
        if layer_of(path) != "metrics"
        for node in nodes(path, ast.Constant)
    }
    taken = {
        str(node.slice.value)
        for path in package_files()
        for node in nodes(path, ast.Subscript)
        if dotted(node.value).endswith("metrics") and isinstance(node.slice, ast.Constant)
    }
    assert len(declared) == len(set(declared))
    assert not set(declared) - used, "declared, never used"
    assert not taken - set(declared), "used, not declared"


# How the checks judge.


def catches_everything(type_: ast.expr | None) -> bool:
    kinds = type_.elts if isinstance(type_, ast.Tuple) else [type_]
    return any(kind is None or dotted(kind) in {"Exception", "BaseException"} for kind in kinds)


def assert_imported_only_in(library: str, layers: set[str], under: str | None = None) -> None:
    wrong = [
        f"{path}:{line} imports {module}"
        for path in package_files()
        if layer_of(path) not in layers and not (under and str(path).startswith(under))
        for line, module in imports(path)
        if module.split(".")[0] == library
    ]
    assert not wrong, listing(wrong)


def package_hosts_of_this_machine() -> set[str]:
    """Return the hosts that this machine's package clients ask: they are nobody else's business."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    variables = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "GOPROXY", "NPM_CONFIG_REGISTRY")
    said += " ".join(os.environ.get(name, "") for name in variables)
    return set(re.findall(r"https?://(?:[^/\s'@]*@)?([\w.-]+)", said))


def listing(wrong: list[str]) -> str:
    return "\n  " + "\n  ".join(wrong)
