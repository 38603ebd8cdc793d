"""The house stands: imports point downwards, each outside package has one door, and nothing is executed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxpot

ROOT = Path(jaxpot.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# From the foundations up; a module may import from its own storey and from those below.
STOREYS = (
    {"units", "typing", "errors"},
    {"core", "basis"},
    {"io"},
    {"descriptors", "kernels"},
    {"readouts"},
    {"potentials"},
    {"checks"},
    {"observables"},
    {"data"},
    {"properties", "fitting"},
    {"uncertainty"},
    {"md"},
    {"formats", "interop", "report", "catalog", "published", "datasets", "testing"},
    {"active"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: k for k, rooms in enumerate(STOREYS) for room in rooms}
# Likewise within a room of several: what families of models share, the families, and above them the verb for all.
INNER_STOREYS = {
    "fitting": (
        {"clock", "left_out", "recipe_files"},
        {"linear", "formulas"},
        {"networks"},  # their last layers are linear
        {"families"},
        {"fit"},
        {"__init__"},
    ),
}
DOORS = {
    "vesin": ("core/neighbors.py",),
    "spglib": ("core/symmetry.py",),
    "scipy": ("core/symmetry.py", "fitting/linear/hyperparameters.py", "fitting/linear/moments.py"),
    "ase": ("io/", "interop/ase.py"),
    "pymatgen": ("io/",),
    "matplotlib": ("report/",),
    "optax": ("fitting/networks/descent.py",),
    "yaml": ("formats/yaml_nodes.py",),
    "lammps": ("interop/lammps/",),
}
EVERYWHERE = {"jax", "jaxlib", "numpy"}
# Files above the potentials that ask which model they have before them, and why the models cannot be asked instead.
ASKS_FOR_THE_MODEL = {
    "observables/edges.py": "models of several hops are computed hop by hop, and every other in one piece",
    "observables/energies.py": "as edges.py",
    "observables/evaluation.py": "a committee stands in the place of a potential",
    "properties/kinks.py": "tables of LAMMPS and QUIP have kinks, whose places the formats know",
    "fitting/formulas/parameters.py": "parameters of a sum are those of its addends",
    "fitting/formulas/smoothing.py": "tables of one form are replaced by splines of another",
    "fitting/linear/hyper_shapes.py": "derivatives by the shapes of SOAP and of kernels have a formula each",
    "fitting/networks/committees.py": "networks are averaged layer by layer",
    "fitting/networks/from_descriptors.py": "networks are trained on descriptors that are computed once",
    "fitting/networks/last_layer.py": "the last layer of a network is linear, those before it are not",
    "report/fit.py": "a report of networks says how large they are",
    "uncertainty/ranges.py": "networks know the ranges that they were trained in",
}
RIDDLES = ("What ", "That ", "Those ", "It ", "Its ", "Which ", "How ", "Whose ", "This ", "These ", "Where ", "As ")
# What executes or unpickles, starts programs, or reaches the network; and the one file that may.
FORBIDDEN_MODULES = {
    **dict.fromkeys(("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code", "runpy"), ()),
    **dict.fromkeys(("multiprocessing", "pty", "imp", "torch"), ()),
    "socket": ("interop/ipi.py",),  # a client of the one server that its caller names, which sends numbers alone
    "ctypes": ("interop/lammps/mpi.py", "interop/lammps/pair.py", "interop/lammps/engine.py"),  # libraries of LAMMPS's
    **dict.fromkeys(("ssl", "ftplib", "requests", "httpx", "xmlrpc", "telnetlib", "smtplib", "webbrowser"), ()),
    "yaml": ("formats/yaml_nodes.py",),  # which takes nodes and lets nothing be constructed
    # pip downloads, when `jaxpot models --fetch` asks it to; mpicxx compiles the plugin for LAMMPS; workers
    "subprocess": ("cli/wheels.py", "interop/lammps/plugin.py", "cli/many_cards.py"),
    **dict.fromkeys(("urllib", "http"), ("datasets.py",)),  # `mlearn` downloads, when it is called
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "breakpoint", "input", "yaml.load", "yaml.full_load",
    "yaml.unsafe_load",
}
FORBIDDEN_ENDS = (
    "os.system", "os.popen", "os.fork", "os.startfile", "read_pickle", "to_pickle",
    "builtins.eval", "builtins.exec", "np.fromregex", "jnp.load", "tarfile.open", "extractall", "unpack_archive",
)
FORBIDDEN_STARTS = ("os.exec", "os.spawn", "os.posix_spawn", "serialize_executable", "sqlite3.Connection.enable_load")
IMPORTS = ("cli/learn.py",)  # calculators of ASE that a user names on the command line
LOADS = ("np.load", "numpy.load", "np.lib.npyio.NpzFile")  # of a path alone: what follows could switch pickle on


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports(tree):
    """(module, whether it is inside a function) of all imports of a file."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            if node.module == "jaxpot":
                for alias in node.names:
                    yield f"jaxpot.{alias.name}", id(node) in inside
            else:
                yield node.module, id(node) in inside


def attribute_path(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "?", *reversed(parts)])


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_downwards(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the public names
    assert room in FLOOR, f"{room} has no place in the house: add it to STOREYS"
    for module, lazy in imports(ast.parse(path.read_text())):
        if module == "jaxpot":
            assert room == "cli", (
                f"{name_of(path)} imports jaxpot itself; import from the module that defines it"
            )
        if not module.startswith("jaxpot."):
            continue
        target = module.split(".")[1]
        if target not in FLOOR:
            assert room in ("cli", "report") and target.startswith("__"), f"{name_of(path)} imports {module}"
            continue
        if lazy and target == "report" and room == "properties":
            continue  # results know how to draw themselves
        assert FLOOR[target] <= FLOOR[room], f"{name_of(path)} imports upwards: {module}"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.relative_to(ROOT).parts[0] in INNER_STOREYS], ids=name_of)
def test_imports_within_a_room_point_downwards(path):
    room, part = (name.removesuffix(".py") for name in path.relative_to(ROOT).parts[:2])
    floor = {name: k for k, parts in enumerate(INNER_STOREYS[room]) for name in parts}
    assert part in floor, f"{room}/{part} has no place in its room: add it to INNER_STOREYS"
    for module, _ in imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[:2] == ["jaxpot", room] and len(parts) > 2:
            assert floor[parts[2]] <= floor[part], f"{name_of(path)} imports upwards: {module}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_private_name_stays_in_its_file(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "jaxpot":
            private = {alias.name for alias in node.names if alias.name.startswith("_") and alias.name != "__version__"}
            assert not private, f"{name_of(path)}:{node.lineno} imports {', '.join(private)}: give it a public name"


def models():
    """Names of the classes that models are made of; any potential, and posteriors of it, may be asked for anywhere."""
    rooms = ("descriptors", "kernels", "readouts", "potentials")
    trees = [ast.parse(path.read_text()) for room in rooms for path in (ROOT / room).rglob("*.py")]
    return {n.name for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)} - {"Potential", "Posterior"}


def test_who_asks_for_the_model_has_a_reason():
    """A new kind of model must not need an edit above the potentials: they ask what it can do."""
    names, asking = models(), set()
    for path in SOURCES:
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if FLOOR.get(room, 0) <= FLOOR["potentials"] or room in ("formats", "interop", "testing", "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "isinstance":
                if names & {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}:
                    asking.add(name_of(path))
    assert asking == set(ASKS_FOR_THE_MODEL)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_first_lines_stand_alone(path):
    """A verb or a noun, no pronoun that refers to the name of the function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node) or ""
            assert not text.startswith(RIDDLES), f"{name_of(path)}:{node.lineno} {node.name}: {text.splitlines()[0]}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_one_door_for_each_outside_package(path):
    for module, _ in imports(ast.parse(path.read_text())):
        package = module.split(".")[0]
        if package in EVERYWHERE or package == "jaxpot" or package in sys.stdlib_module_names:
            continue
        assert package in DOORS, f"{name_of(path)} imports {package}, for which there is no door"
        assert name_of(path).startswith(DOORS[package]), f"{package} may only be imported in {DOORS[package]}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_global_state_and_nothing_executed(path):
    tree = ast.parse(path.read_text())
    for module, _ in imports(tree):
        doors = FORBIDDEN_MODULES.get(module.split(".")[0], (name_of(path),))
        assert name_of(path) in doors, f"{name_of(path)} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = attribute_path(node.func)
            assert called not in FORBIDDEN_CALLS, f"{name_of(path)}:{node.lineno} calls {called}"
            executes = called.endswith(FORBIDDEN_ENDS) or called.startswith(FORBIDDEN_STARTS)
            assert not executes, f"{name_of(path)}:{node.lineno} calls {called}"
            assert not called.endswith("import_module") or name_of(path) in IMPORTS, f"{name_of(path)}:{node.lineno}"
            if called in LOADS:
                alone = len(node.args) == 1 and not node.keywords
                assert alone, f"{name_of(path)}:{node.lineno} gives {called} more than a path"
            assert not called.endswith("nan_to_num"), f"{name_of(path)}:{node.lineno} hides NaN"
            if called.endswith("config.update"):
                assert name_of(path).startswith("cli/"), f"{name_of(path)}:{node.lineno} touches jax.config"
            allowed = [k for k in node.keywords if k.arg == "allow_pickle"]
            assert not allowed, f"{name_of(path)}:{node.lineno} mentions allow_pickle"
        if isinstance(node, ast.Assign):
            for target in node.targets:
                assert "jax.config" not in attribute_path(target), f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            caught = [attribute_path(n) for n in ast.walk(node.type)] if node.type else ["everything"]
            wide = {"everything", "Exception"} & set(caught)
            assert not wide, f"{name_of(path)}:{node.lineno} catches {wide}"
        assert not isinstance(node, ast.Assert), f"{name_of(path)}:{node.lineno}: raise a typed error instead"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_decompositions_have_one_door(path):
    """Batches of matrices lock up jaxlib's threads: `core/linalg.py` says why, and is the only one to call LAPACK."""
    if name_of(path) == "core/linalg.py":
        return
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        called = attribute_path(node) if isinstance(node, ast.Attribute) else ""
        if called.startswith(("jnp.linalg.", "jnp.fft.", "jax.scipy.linalg.", "jax.lax.linalg.")):
            harmless = ("linalg.norm", "linalg.det", "linalg.block_diag")  # det of 3 x 3: in closed form
            assert called.endswith(harmless), f"{name_of(path)}:{node.lineno} calls {called}: take it from core.linalg"
    for module, _ in imports(tree):
        assert not module.startswith(("jax.scipy.linalg", "jax.numpy.linalg", "jax.lax.linalg")), f"{name_of(path)}: {module}"


def test_importing_does_nothing():
    """No array is made, no back end started and no configuration touched by `import jaxpot`."""
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import jaxpot, jax._src.xla_bridge as bridge\n"
        "assert dict(jax.config.values) == before\n"
        "assert not bridge._backends, 'a back end has been started'\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
