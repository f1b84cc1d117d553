"""The one mechanism for plug-ins: a decorated function or class whose file's stem is its name.

Names come from file names (and from entry points of other packages), so that listing imports
nothing; a plug-in's module loads on first use.
"""

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard, TypeVar, cast

from edgekd.core.config import Config
from edgekd.core.errors import Problem, RequestError, nearest

T = TypeVar("T", bound=Callable[..., Any])
PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Paper:
    """Where an idea comes from."""

    title: str
    arxiv: str = ""
    where: str = ""
    """The equation, section or table."""

    def __str__(self) -> str:
        return ", ".join(
            p for p in (self.title, self.arxiv and f"arXiv {self.arxiv}", self.where) if p
        )


@dataclass(frozen=True)
class Plugin:
    """A loaded plug-in: what it is called, how it is configured, what it needs."""

    kind: str
    name: str
    target: Callable[..., Any]
    config: type[Config]
    paper: Paper | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    """What its kind says of it, as a stage's `makes`; of any kind, `distributions`: the Python
    distributions whose versions shape what it does."""
    also: Sequence[Paper] = ()
    """Where options of it come from besides."""

    def build(self, options: Config) -> Callable[..., Any]:
        """Return the plug-in with its options bound: a partial function, or an instance."""
        if inspect.isclass(self.target):
            return cast(Callable[..., Any], cast(Any, self.target)(options))
        return partial(self.target, options)

    @property
    def needs(self) -> tuple[str, ...]:
        """The signals it asks for: the keyword-only parameters of its call."""
        call = self.target
        if inspect.isclass(call):
            call = getattr(call, "forward", None) or call.__call__
        parameters = inspect.signature(call).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    @property
    def fits(self) -> bool:
        """Whether it sees the teacher over all training examples before training begins."""
        return callable(getattr(self.target, "fit", None))

    @property
    def learns(self) -> bool:
        """Whether it learns after each step by something else than the loss."""
        return callable(getattr(self.target, "after_step", None))

    @property
    def papers(self) -> list[Paper]:
        """Where it and its options come from."""
        return [*([self.paper] if self.paper else ()), *self.also]

    @property
    def summary(self) -> str:
        """The first line of its module's text, or of its own."""
        text = inspect.getdoc(inspect.getmodule(self.target)) or inspect.getdoc(self.target) or ""
        return text.strip().split("\n", 1)[0]

    @property
    def source(self) -> Path:
        """The file that defines it."""
        return Path(inspect.getsourcefile(inspect.unwrap(self.target)) or "")


class Registry:
    """All plug-ins of one kind.

    Used as a decorator it registers: `@objective(config=KD, paper=PAPER)`.
    """

    def __init__(self, kind: str, folder: str):
        self.kind, self.folder = kind, folder
        self._loaded: dict[str, Plugin] = {}

    def __call__(
        self,
        *,
        config: type[Config] = Config,
        paper: Paper | None = None,
        also: Sequence[Paper] = (),
        name: str | None = None,
        **traits: Any,
    ) -> Callable[[T], T]:
        """Register the function or class below under its file's stem, or under `name`."""

        def register(target: T) -> T:
            known_as = name or target.__module__.rpartition(".")[2]
            earlier = self._loaded.get(known_as)
            if earlier and _origin(earlier.target) != _origin(target):
                raise RequestError(
                    Problem(
                        "plugins",
                        f"two plug-ins are both the {self.kind} '{known_as}': "
                        f"{_origin(earlier.target)} and {_origin(target)}.",
                        "Rename one of them.",
                    )
                )
            self._loaded[known_as] = Plugin(
                self.kind, known_as, target, config, paper, traits, also
            )
            return target

        return register

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Return our own plug-in files by name."""
        found: dict[str, Path] = {}
        for path in sorted((PACKAGE / self.folder).rglob("*.py")):
            if path.stem.startswith("_") or not _is_plugin(path, self.kind):
                continue
            if path.stem in found:
                raise AssertionError(f"{path} and {found[path.stem]} share a name")
            found[path.stem] = path
        return found

    @cached_property
    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        points = importlib.metadata.entry_points(group=f"edgekd.{self.folder.replace('/', '.')}")
        return {point.name: point for point in points}

    def names(self) -> list[str]:
        """Return every name, sorted; nothing is imported."""
        return sorted({*self._files, *self._entry_points, *self._loaded})

    def __iter__(self) -> Iterator[Plugin]:
        return (self.get(name) for name in self.names())

    def within(self, group: str) -> Iterator[Plugin]:
        """Yield our own plug-ins of one sub-folder, and all of others; nothing else is imported."""
        ours = self._files
        return (
            self.get(name)
            for name in self.names()
            if name not in ours or ours[name].parent.name == group
        )

    def summary(self, name: str) -> str:
        """Return the first line of a plug-in's text, read without importing it."""
        if name in self._loaded:
            return self._loaded[name].summary
        if name in self._files:
            text = ast.get_docstring(ast.parse(self._files[name].read_text("utf-8"))) or ""
            return text.split("\n", 1)[0]
        point = self._entry_points[name]
        return f"from {point.dist.name if point.dist else point.value}"

    def papers(self, name: str) -> list[Paper]:
        """Return where a plug-in comes from, read without importing it."""
        if name in self._loaded:
            return self._loaded[name].papers
        if name not in self._files:
            return []  # another package's: nothing tells before it is imported
        tree = ast.parse(self._files[name].read_text("utf-8"))
        calls = [line.value for line in tree.body if isinstance(line, ast.Assign)]
        return [Paper(*map(ast.literal_eval, c.args)) for c in calls if _makes_paper(c)]

    def get(self, name: str) -> Plugin:
        """Return the plug-in, importing its module on first use; KeyError where unknown."""
        if name not in self._loaded:
            if name in self._files:
                _import_file(self._files[name])
            elif name in self._entry_points:
                self._entry_points[name].load()
            else:
                raise KeyError(f"no {self.kind} is named '{name}'. {nearest(name, self.names())}")
        return self._loaded[name]


def _is_plugin(path: Path, kind: str) -> bool:
    """Tell whether a file registers a plug-in of this kind, by its text alone."""
    return f"\n@{kind}(" in path.read_text("utf-8")


def _makes_paper(value: ast.expr) -> TypeGuard[ast.Call]:
    """Tell whether a value is written `Paper(...)`."""
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == Paper.__name__


def _origin(target: Callable[..., Any]) -> str:
    return f"{inspect.getsourcefile(inspect.unwrap(target))}:{target.__qualname__}"


def _import_file(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))


def load_user_module(reference: str, beside: Path) -> list[Path]:
    """Import what a pipeline lists under `plugins:` and return its source files.

    `reference` is a `.py` file, relative to the pipeline's folder, or the name of an installed
    module. This is the only place where a pipeline can name code.
    """
    if not reference.endswith(".py"):
        try:
            module = importlib.import_module(reference)
        except (Exception, SystemExit) as error:  # the module's code may raise anything
            raise ValueError(f"module '{reference}' cannot be imported: {error}") from error
        file = Path(getattr(module, "__file__", None) or "")
        if not file.is_file():
            raise ValueError(f"module '{reference}' has no file that could be followed")
        return package_of(file)
    path = _file(beside, reference)
    place = hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"edgekd_plugins.{place}.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # for inspect, pickle
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        del sys.modules[spec.name]
        raise ValueError(f"{path} raised {type(error).__name__}: {error}") from error
    return [path]


def package_of(file: Path) -> list[Path]:
    """Return every source file of the package that a file belongs to, or the file alone."""
    top = file
    while (top.parent / "__init__.py").is_file():
        top = top.parent
    return [file] if top == file else sorted(top.rglob("*.py"))


def _file(beside: Path, reference: str) -> Path:
    """Return the file of a reference; ValueError where there is none, whatever the name is."""
    try:
        path = (beside / reference).resolve()
        if path.is_file():
            return path
    except (OSError, RuntimeError) as error:  # a name that is too long, links in a circle
        raise ValueError(f"'{reference}' is no file: {error}") from error
    raise ValueError(f"there is no file {path}")
