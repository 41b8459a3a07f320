"""Whose values code may change in place, by its words alone.

A call may change what it is given and what its function is of. Known to change neither are some functions of Python
and of libraries, methods that ask, and functions of the notebook that pass what they are given to nothing else.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from ckpt_magic.values.code import syntax

CHANGING: Final = (
    *("register", "add", "set", "install", "patch", "insert", "append", "extend", "update", "enable", "disable", "use"),
    *("push", "pop", "remove", "unregister", "replace", "define", "init", "configure", "activate", "hook", "clear"),
)
"""How words begin that say of a change."""
_KEEPING: Final = (*CHANGING, "connect", "observe", "subscribe", "attach", "listen", "on_", "signal", "finalize")

# Calls that give numbers and texts, or nothing.
_TELLING: Final = frozenset(
    {"len", "str", "repr", "int", "float", "bool", "id", "hash", "format", "ord", "chr", "range", "any", "all"}
    | {"print", "isinstance"}
)
# Calls that change none of their arguments.
_HARMLESS: Final = _TELLING | {
    *("display", "sum", "min", "max", "abs", "round", "sorted", "type", "tuple", "frozenset", "list", "dict", "set"),
    *("enumerate", "zip", "reversed", "iter", "getattr", "hasattr", "super", "object", "open"),
    *("Counter", "deque", "OrderedDict"),
}
_CALLING: Final = frozenset({"map", "filter"})  # what they are given first
# Methods that change what they are of, and functions that change what they are given.
_CHANGERS: Final = frozenset(
    (
        "append extend insert pop popitem popleft appendleft extendleft rotate remove discard clear sort reverse "
        "update difference_update intersection_update symmetric_difference_update subtract setdefault move_to_end "
        "add push put fill resize itemset partial_fit write writelines send seek readline "
        "__setitem__ __delitem__ __setattr__ __iadd__"
    ).split()
)
_CHANGERS_OF_ARGUMENTS: Final = frozenset(
    "setattr delattr next heappush heappop heapify heapreplace heappushpop insort insort_left insort_right shuffle "
    "copyto putmask place put put_along_axis fill_diagonal at setp sca".split()
)
INTO: Final = frozenset({"inplace", "out"})  # keywords of calls that change what they are of, or given
_DRAWN_ON: Final = frozenset({"ax", "axes", "cax", "fig"})
# Methods that give what holds nothing of what they are of, and functions that give numbers and texts. What sorts or
# merges does: columns may hold objects.
_REDUCING: Final = frozenset(
    (
        "mean median std var count quantile corr cov any all nunique size idxmin idxmax argmin argmax describe info "
        "value_counts isna isnull notna notnull duplicated crosstab cumsum diff pct_change rank isin between equals "
        "max min sum prod predict predict_proba decision_function score "
        "to_string to_html startswith endswith strip lower upper find isdigit strftime"
    ).split()
)
# Methods that ask: of frames, arrays, texts, containers, paths (files are told apart from those). A class of the
# user's may have another one of that name.
_ASKING: Final = _REDUCING | frozenset(
    (
        "head tail memory_usage unique mode skew kurt cumprod cummax cummin abs round clip argsort "
        "nlargest nsmallest groupby agg aggregate query select_dtypes sort_values sort_index reset_index set_index "
        "rename drop dropna fillna astype copy to_frame to_list tolist to_numpy to_dict to_markdown merge join "
        "pivot pivot_table melt stack unstack explode assign drop_duplicates rolling resample shift items keys "
        "values index dot transpose nonzero reindex combine_first split rsplit lstrip rstrip title encode decode "
        "splitlines zfill with_columns to_pandas union intersection difference issubset issuperset isdisjoint "
        "most_common isoformat get_params iterrows itertuples sample to_csv to_parquet to_json to_excel to_pickle "
        "to_feather to_latex write_text write_bytes "
        "read_text read_bytes mkdir exists is_file is_dir glob rglob iterdir resolve with_suffix with_name joinpath "
        "relative_to absolute as_posix expanduser "
        "ravel reshape flatten squeeze unsqueeze swapaxes permute view contiguous tobytes numpy detach item numel"
    ).split()
)
# Attributes of frames that hold texts and numbers.
_LABELS: Final = frozenset({"columns", "index", "shape", "dtypes"})
# Methods that ask a function about what is in what they are of.
_APPLYING: Final = frozenset({"apply", "map", "applymap", "transform", "pipe"})
# Methods that change nothing but what they are of.
_OF_ITSELF: Final = frozenset(
    (
        "fit fit_transform fit_predict plot scatter hist hist2d bar barh boxplot violinplot errorbar fill_between pie "
        "imshow contour contourf pcolormesh quiver stem axhline axvline axhspan axvspan annotate"
    ).split()
)
# Libraries whose functions change nothing that they are given, those of `_CHANGERS_OF_ARGUMENTS` aside.
_GENTLE: Final = frozenset(
    (
        "numpy pandas polars math statistics matplotlib seaborn json pprint textwrap IPython collections itertools re "
        "torch"
    ).split()
)
LIBRARIES: Final = frozenset("numpy pandas matplotlib sklearn polars torch scipy".split())
"""Those beside Python's own of which all that is set by a word of the surroundings is known as such."""
# Modules that calls change in nothing that is not told as surroundings, chance or files, unless their names say so.
CALM: Final = LIBRARIES | frozenset(
    (
        "seaborn math os json re itertools functools collections "
        "pathlib time datetime random statistics string glob shutil operator copy pickle io hashlib base64 typing "
        "fractions textwrap zipfile gzip uuid dataclasses enum calendar bisect heapq contextlib abc csv decimal struct "
        "zlib bz2 lzma secrets difflib array cmath numbers ast unicodedata html pprint tempfile sqlite3 configparser "
        "tqdm networkx sympy requests yaml PIL statsmodels xgboost lightgbm joblib bs4 plotly skimage xarray dateutil "
        "nltk cv2 IPython geopandas shapely altair urllib concurrent numba torchvision transformers subprocess pyarrow"
    ).split()
)
_MEASURING: Final = frozenset({"sklearn", "scipy"})
_GIVING_NEW: Final = CALM - {"matplotlib", "seaborn", "IPython"}  # what those give is often there already
# Special methods of operators, which give numbers and the like where no class of the user's says otherwise.
OPERATORS: Final = frozenset(
    (
        "__pos__ __neg__ __invert__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __add__ __sub__ __mul__ __matmul__ "
        "__truediv__ __floordiv__ __mod__ __pow__ __lshift__ __rshift__ __and__ __or__ __xor__ __radd__ __rsub__ "
        "__rmul__ __rmatmul__ __rtruediv__ __rfloordiv__ __rmod__ __rpow__ __rlshift__ __rrshift__ __rand__ __ror__ "
        "__rxor__"
    ).split()
)
_ITERATORS: Final = frozenset({"iter", "map", "filter", "zip", "enumerate", "reversed", "open"})
_GIVING_ITERATORS: Final = frozenset(
    {"itertools", "io", "csv", "gzip", "bz2", "lzma", "re", "glob", "os", "Path", "chain"}
)
_OTHER_ITERATORS: Final = frozenset(
    (
        "accumulate batched chain combinations combinations_with_replacement compress count cycle dropwhile "
        "filterfalse from_iterable groupby islice pairwise permutations product repeat starmap takewhile tee "
        "zip_longest StringIO BytesIO TextIOWrapper reader DictReader finditer scandir walk fwalk iglob open"
    ).split()
)


@dataclass(slots=True)
class Known:
    """What the statements of a notebook so far, or of a module, tell of names.

    Attributes
    ----------
    texts
        The texts of the user's own modules that are imported.
    module
        The name of the module that it is; none for the notebook.
    libraries
        Names of libraries whose functions change nothing that they are given, and of such functions.
    arrays
        Those of them that are numpy, whose functions may be told to put their outcome into an array.
    measuring
        Names of sklearn and scipy, and of their functions, which change nothing that they are given if no code is.
    calm
        Names of modules that give nothing of what they hold when they are called, and of what is taken from them.
    own
        Names of the user's own modules, with what is known of each.
    borne
        Names of functions and classes that are taken from these, with the modules.
    gentle
        Functions of the user's that change nothing that they are given, and keep none of it.
    steady
        Functions and classes of the user's that change nothing that they are given.
    callables
        Names that stand for functions and classes of the user's, or for what holds some.
    defined
        Those of them that are functions and classes.
    generators
        Functions that give an iterator when they are called.
    lending
        Functions of the user's that may give something of what they are not given: of other names.
    methods
        Methods of the user's classes that change, or keep, what they are of or are given.
    harming
        Those of them that change what they are given.
    spoken
        All methods of the user's classes.
    restless
        Classes of the user's whose objects change something by being read: what gives their length does, or a property.
    unsettled
        Names of what is used up by reading it, or changes by it.
    filling
        Names of dicts that get what they are asked for and lack.
    unsettled_attributes, filling_attributes
        The same of attributes: those that a property caches, too, change what has them by being read.
    is_ending
        Whether a class of the user's says what its objects do at their end.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    module: str = ""
    libraries: set[str] = field(default_factory=set)
    arrays: set[str] = field(default_factory=set)
    measuring: set[str] = field(default_factory=set)
    calm: set[str] = field(default_factory=set)
    own: dict[str, Known] = field(default_factory=dict)
    borne: dict[str, str] = field(default_factory=dict)
    gentle: set[str] = field(default_factory=set)
    steady: set[str] = field(default_factory=set)
    callables: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    generators: set[str] = field(default_factory=set)
    lending: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    harming: set[str] = field(default_factory=set)
    spoken: set[str] = field(default_factory=set)
    restless: set[str] = field(default_factory=set)
    unsettled: set[str] = field(default_factory=set)
    filling: set[str] = field(default_factory=set)
    unsettled_attributes: set[str] = field(default_factory=set)
    filling_attributes: set[str] = field(default_factory=set)
    is_ending: bool = False
    _modules: dict[str, Known] = field(default_factory=dict)

    def note(self, node: ast.stmt) -> None:
        """Go on by a statement."""
        bound = names_in(_targets(node)) if not isinstance(node, _NAMED) else {node.name}
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound = {(one.asname or one.name).partition(".")[0] for one in node.names}
        for known in (
            *(self.libraries, self.arrays, self.measuring, self.calm),
            *(self.gentle, self.steady, self.callables, self.defined),
            *(self.generators, self.lending, self.restless, self.unsettled, self.filling),
        ):
            known -= bound
        for name in bound:
            self.own.pop(name, None)
            self.borne.pop(name, None)
        if isinstance(node, ast.Import):
            for one in node.names:
                self._imported(one.asname or one.name.partition(".")[0], one.name if one.asname else "", one.name)
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                self._taken(one.asname or one.name, one.name, node.module or "")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._defined(node)
        elif isinstance(node, ast.ClassDef):
            self._made(node)
        else:
            self.unsettled |= bound if any(map(self._is_unsettled, _bound_to(node))) else set()
            self.filling |= bound if any(map(self._is_filling, values_of(node))) else set()
            self._set_on([node])

    def _imported(self, name: str, module: str, whole: str) -> None:
        top = whole.partition(".")[0]
        if self._is_of_library(name, top):
            self.arrays |= {name} if top == "numpy" else set()
        elif (found := module or top) in self.texts:
            self.own[name] = self._of_module(found)

    def _taken(self, name: str, one: str, module: str) -> None:
        """By `from module import one as name`."""
        if self._is_of_library(name, module.partition(".")[0]):
            return
        if f"{module}.{one}" in self.texts:
            self.own[name] = self._of_module(f"{module}.{one}")
        elif module in self.texts:
            of = self._of_module(module)
            for mine, its in (
                *((self.gentle, of.gentle), (self.steady, of.steady), (self.restless, of.restless)),
                *((self.generators, of.generators), (self.lending, of.lending), (self.unsettled, of.unsettled)),
                (self.filling, of.filling),
            ):
                if one in its:
                    mine.add(name)
            self.callables.add(name)
            self.borne[name] = module

    def _is_of_library(self, name: str, top: str) -> bool:
        """Note what libraries tell of a name of theirs; returns whether functions of this one change nothing."""
        for known, tops in ((self.libraries, _GENTLE), (self.calm, _GIVING_NEW), (self.measuring, _MEASURING)):
            known |= {name} if top in tops else set()
        return top in _GENTLE

    def module_of(self, name: str) -> Known | None:
        """What is known of a module of the user's own; None if it is none."""
        return self._of_module(name) if name in self.texts else None

    def _of_module(self, name: str) -> Known:
        if name not in self._modules:
            known = self._modules[name] = Known(self.texts, name, _modules=self._modules)
            tree = syntax.parsed(self.texts[name])
            for node in tree.body if tree is not None else ():
                known.note(node)
            self.methods |= known.methods
            self.harming |= known.harming
            self.spoken |= known.spoken
            self.unsettled_attributes |= known.unsettled_attributes
            self.filling_attributes |= known.filling_attributes
            self.is_ending |= known.is_ending
        return self._modules[name]

    def _defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.callables.add(node.name)
        self.defined.add(node.name)
        self.lending |= {node.name} if _lends(node, self) else set()
        if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in syntax.nodes(node)):
            self.generators.add(node.name)
        elif not self.callables & set().union(*map(base, node.decorator_list)):
            changed, kept = _effects(node, self)
            if not any(changed):
                self.steady.add(node.name)
                self.gentle |= {node.name} if not any(kept) else set()

    def _set_on(self, nodes: Iterable[ast.AST]) -> None:
        """Note what attributes are given: `self.rows = iter(rows)`."""
        for node in nodes:
            words = {to.attr for to in _targets(node) if isinstance(to, ast.Attribute)}
            if words and any(map(self._is_unsettled, values_of(node))):
                self.unsettled_attributes |= words
            elif words and any(map(self._is_filling, values_of(node))):
                self.filling_attributes |= words

    def _made(self, node: ast.ClassDef) -> None:
        self.callables.add(node.name)
        self.defined.add(node.name)
        self._set_on(syntax.nodes(node))
        is_steady = True
        for one in syntax.nodes(node):
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                (itself, given), kept = _effects(one, self)
                self.spoken.add(one.name)
                self.is_ending |= one.name == "__del__"
                self.methods |= {one.name} if itself or given or any(kept) else set()
                self.harming |= {one.name} if given else set()
                if any(syntax.last_word(by) == "cached_property" for by in one.decorator_list):
                    self.unsettled_attributes.add(one.name)
                if one.name in _MAKING:
                    is_steady = is_steady and not given
                elif _is_called_unsaid(one) and (itself or _acts_elsewhere(one, self)):
                    self.restless.add(node.name)
        if is_steady and not self.callables & set().union(*map(base, node.decorator_list)):
            self.steady.add(node.name)
        if self.restless & set().union(*map(base, node.bases)):
            self.restless.add(node.name)

    def _is_unsettled(self, node: ast.AST | None) -> bool:
        match node:
            case ast.Call(func=ast.Name(id=name)):
                given = _ITERATORS | self.generators | self.restless | (_OTHER_ITERATORS - self.callables)
                return name in given
            case ast.Call(func=ast.Attribute(attr=word) as made):
                return word == "open" or (word in _OTHER_ITERATORS and bool(base(made) & _GIVING_ITERATORS))
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Dict(values=items):
                return any(map(self._is_unsettled, items))
        return isinstance(node, ast.GeneratorExp)

    def _is_filling(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return syntax.last_word(node.func) == "defaultdict"
        return isinstance(node, ast.Name) and node.id in self.filling


def _is_called_unsaid(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a method is called by code that does not say so: by an operator, or to get an attribute."""
    return method.name not in _TOLD and (method.name[:2] == "__" or bool(method.decorator_list))


_NAMED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MAKING: Final = frozenset({"__init__", "__new__", "__post_init__"})
# Special methods that are called where code says so.
_TOLD: Final = frozenset(
    {"__setattr__", "__delattr__", "__setitem__", "__delitem__", "__enter__", "__exit__", "__call__", "__del__"}
    | {"__iadd__", "__isub__", "__imul__", "__ior__", "__iand__", "__init_subclass__", "__set_name__", "__setstate__"}
)


def touched(inside: Sequence[ast.AST], known: Known, easing: Set[str]) -> tuple[set[str], set[str], set[str]]:
    """Names whose values these nodes may change in place.

    Returns
    -------
    set of str, set of str, set of str
        The names; those of them of which no word of `easing` tells what is changed; those to which no more is done
        than to call what they are or have, by no word that says of a change.
    """
    found, for_sure, by_more = set[str](), set[str](), set[str]()
    loops = [one for one in inside if isinstance(one, ast.comprehension)]
    for part in inside:
        if names := _looped(changed_by(part, known), loops, known):
            found |= names
            if not _is_eased(part, easing):
                for_sure |= names
                calls = [part] if isinstance(part, ast.Call) else _made_by(part)
                by_more |= names - set().union(*(_called(call, known) for call in calls))
    return found, for_sure - _makers(inside), found - by_more


def _made_by(part: ast.AST) -> list[ast.Call]:
    """The calls by which decorators, bases and metaclasses are given a definition."""
    return [ast.Call(one.func if isinstance(one, ast.Call) else one, [], []) for one in _takers(part)]


def _takers(part: ast.AST) -> list[ast.expr]:
    """What a definition is given to."""
    decorators, bases = getattr(part, "decorator_list", ()), getattr(part, "bases", ())
    return [*decorators, *bases, *(one.value for one in getattr(part, "keywords", ()))]


def _looped(names: set[str], loops: Sequence[ast.comprehension], known: Known) -> set[str]:
    """The names, with those of what comprehensions go through whose variables are among them."""
    for loop in reversed(loops):
        if not names.isdisjoint(names_in([loop.target])):
            names = names | _held_by(loop.iter, known)
    return names


def stored(inside: Sequence[ast.AST]) -> set[str]:
    """Names whose values these nodes change by their very words."""
    found = set[str]()
    for part in inside:
        if isinstance(part, ast.Call):
            into = {one.arg for one in part.keywords} & INTO
            if isinstance(part.func, ast.Attribute) and (part.func.attr in _CHANGERS or into):
                found |= base(part.func)
            if into or syntax.last_word(part.func) in _CHANGERS_OF_ARGUMENTS:
                found |= given_to(part)
        elif isinstance(part, ast.Attribute | ast.Subscript | ast.AugAssign):
            found |= changed_by(part, _NOTHING)
    return _looped(found, [one for one in inside if isinstance(one, ast.comprehension)], _NOTHING)


def borrowed(inside: Iterable[ast.AST], known: Known) -> set[str]:
    """Names of functions whose outcome these nodes may change in place: `get().append(1)`."""
    found = set[str]()
    for part in inside:
        if isinstance(part, ast.Call | ast.Attribute | ast.Subscript | ast.AugAssign) and changed_by(part, known):
            todo: list[ast.AST] = [part.target] if isinstance(part, ast.AugAssign) else [*ast.iter_child_nodes(part)]
            calls = (one for node in todo for one in syntax.nodes(node) if isinstance(one, ast.Call))
            found |= {one.func.id for one in calls if isinstance(one.func, ast.Name)}
    return found & known.lending


def given_to(call: ast.Call, known: Known | None = None) -> set[str]:
    """Names that are given to a call; not `f` of `show(f(x))`, which is called itself, nor `np` of `show(np.ones(2))`.

    Nor is a library by its functions and types: `quad(np.exp, 0, 1)`, `tensor(x, dtype=torch.float32)`.
    """
    known = known or _NOTHING
    given = [one for part in _arguments(call) for one in _given_by(part, known, reducing=frozenset())]
    inside = [one for part in given for one in syntax.nodes(part)]
    passed = {id(one.func) for one in inside if isinstance(one, ast.Call)}
    for one in inside:
        *_, first = syntax.links(one)
        if isinstance(first, ast.Name) and first is not one:
            is_part = isinstance(one, ast.Attribute) and one.value is first and one.attr not in _OF_ALL
            is_calm = first.id in known.calm and (is_part or isinstance(one, ast.Call))
            if is_calm or (is_part and first.id in known.libraries):
                passed.add(id(first))
    return names_in(one for one in inside if isinstance(one, ast.Name) and id(one) not in passed)


_OF_ALL: Final = frozenset({"random", "rcParams", "options", "environ"})
"""Parts of libraries that functions may change which are given them."""


def base(node: ast.expr) -> set[str]:
    """The name that an expression begins with: `x` of `x.a[0].b()`; of `(x or y).a` both."""
    *_, first = syntax.links(node)
    if isinstance(first, ast.Name):
        return {first.id}
    return names_in([first]) if isinstance(first, _PASSING_ON) else set()


_PASSING_ON: Final = (ast.NamedExpr, ast.IfExp, ast.BoolOp, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp)
"""Expressions that give what they are made of."""


def changed_by(part: ast.AST, known: Known) -> set[str]:
    """Names whose values a part of code may change by itself, whatever is in it."""
    if isinstance(part, (ast.Attribute, ast.Subscript)):
        if isinstance(part.ctx, ast.Load):
            return _changed_by_reading(part, known)
        found = _bases(part, known)
        return {*found, part.attr} if isinstance(part, ast.Attribute) and "builtins" in found else found
    if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):  # `@show.register`
        return set().union(*map(base, _takers(part)))
    if isinstance(part, ast.AugAssign):
        return _bases(part.target, known)
    if isinstance(part, ast.Name):
        if isinstance(part.ctx, ast.Load):
            return {part.id} & known.unsettled
        return {part.id} if known.is_ending else set()  # what it meant may be at its end
    if isinstance(part, ast.With | ast.AsyncWith):
        return set().union(
            *(base(one.context_expr) for one in part.items if not isinstance(one.context_expr, ast.Call))
        )
    return _changed_by_call(part, known) | _methods_given_to(part) if isinstance(part, ast.Call) else set()


def _methods_given_to(call: ast.Call) -> set[str]:
    """What is changed if a call calls what it is given: `sorted(names, key=seen.append)`."""
    return set[str]().union(
        *(base(one) for one in _arguments(call) if isinstance(one, ast.Attribute) and one.attr in _CHANGERS)
    )


def _changed_by_call(part: ast.Call, known: Known) -> set[str]:
    if isinstance(part.func, ast.Name) and part.func.id in _HARMLESS - known.callables:
        keys = names_in(one.value for one in part.keywords if one.arg == "key") & known.callables
        return keys | names_in(one.value for one in part.keywords if one.arg == "file")
    is_calling = isinstance(part.func, ast.Name) and part.func.id in _CALLING - known.callables
    if is_calling and all(_asks(one, known) for one in part.args[:1]):
        return set()
    every = _bases(part.func, known) | given_to(part, known)
    if any(one.arg in INTO or one.arg is None or is_no_copy(one) for one in part.keywords) or _puts_back(part):
        return every
    if _may_put(part, known, count=4):
        return every
    asking = _ASKING | {"eval"} if part.args else _ASKING  # `eval()` is of a model of torch
    if isinstance(part.func, ast.Attribute) and part.func.attr in asking - known.methods:
        return every & known.callables
    is_applying = isinstance(part.func, ast.Attribute) and part.func.attr in _APPLYING - known.methods
    if is_applying and all(_asks(one, known) for one in _arguments(part)):
        return set()
    if isinstance(part.func, ast.Attribute) and part.func.attr in _OF_ITSELF - known.harming:
        return base(part.func) | every & known.callables | _drawn_on(part)
    if _is_gentle(part, known):
        return base(part.func) | every & known.callables | _drawn_on(part)
    return every


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(one.value for one in call.keywords)]


def _asks(given: ast.expr, known: Known) -> bool:
    """Whether what a call is given changes nothing if it is called: functions of Python, or plain expressions."""
    match given:
        case ast.Constant() | ast.Attribute(value=ast.Name(id="str" | "int" | "float")):
            return True
        case ast.Dict(keys=keys, values=values):
            return all(isinstance(one, ast.Constant) for one in (*keys, *values))
        case ast.Name(id=name):
            return name in (_HARMLESS - known.callables) | known.gentle
        case ast.Attribute():
            return bool(base(given) & known.libraries)
        case ast.Lambda(body=body):
            return not any(changed_by(one, known) for one in syntax.nodes(body))
    return False


def _drawn_on(call: ast.Call) -> set[str]:
    return names_in(one.value for one in call.keywords if one.arg in _DRAWN_ON)


def is_no_copy(keyword: ast.keyword) -> bool:
    """Whether a call is told to work on what it is given: `copy=False`."""
    return keyword.arg == "copy" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False


def _puts_back(call: ast.Call) -> bool:
    """Whether a call is given the same name twice, at last: `x.clip(0, 1, x)`."""
    match call:
        case ast.Call(func=func, args=[*others, ast.Name(id=name)]) if others:
            return name in names_in(one for one in others if isinstance(one, ast.Name)) or name in base(func)
    return False


def _changed_by_reading(part: ast.Attribute | ast.Subscript, known: Known) -> set[str]:
    if isinstance(part, ast.Attribute):
        return base(part) if part.attr in known.unsettled_attributes else set()
    is_filled = isinstance(part.value, ast.Attribute) and part.value.attr in known.filling_attributes
    return base(part) if is_filled else base(part) & known.filling


def _is_gentle(call: ast.Call, known: Known) -> bool:
    """Whether a function changes nothing that it is given, and keeps none of it."""
    match call.func:
        case ast.Name(id=name) if name in known.gentle:
            return True
        case ast.Attribute(value=ast.Name(id=name), attr=word) if name in known.own:
            return word in known.own[name].gentle
    word = syntax.last_word(call.func)
    if base(call.func) & known.measuring:
        return word.islower() and not word.startswith(("make_", "inplace_", *CHANGING)) and _gives_no_code(call, known)
    if not base(call.func) & known.libraries or word in _CHANGERS_OF_ARGUMENTS or word.endswith("_"):
        return False
    is_of_numpy = isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)
    if word in _CHANGERS and not (is_of_numpy and base(call.func) & known.arrays):
        return False  # `pd.DataFrame.pop(df, "a")`, `OrderedDict.update(kept, a=1)`; `np.append(x, 1)` does not
    return not _may_put(call, known, count=3)


def _gives_no_code(call: ast.Call, known: Known) -> bool:
    """Whether a call is given no functions of the user's, nor told to write over what it is given."""
    into = any((one.arg or "").startswith(("overwrite", "copy_")) for one in call.keywords)
    inside = [one for part in (*call.args, *call.keywords) for one in syntax.nodes(part)]
    is_code = any(isinstance(one, ast.Lambda) for one in inside) or not known.callables.isdisjoint(names_in(inside))
    return not (into or is_code)


def _may_put(call: ast.Call, known: Known, *, count: int) -> bool:
    """Whether a function of numpy may put its outcome into the last of so many arguments: `np.add(a, b, c)`."""
    return len(call.args) >= count and isinstance(call.args[-1], ast.Name) and bool(base(call.func) & known.arrays)


def risked(inside: Iterable[ast.AST], known: Known) -> set[str]:
    """Names of what these nodes give to code of the user's own that changes what it is given, if it comes to that."""
    found = set[str]()
    for part in inside:
        if isinstance(part, ast.Call):
            match part.func:
                case ast.Name(id=name) if name in known.callables - known.steady:
                    found |= given_to(part)
                case ast.Attribute(value=ast.Name(id=name), attr=word) if name in known.own:
                    found |= given_to(part) if word not in known.own[name].steady else set()
                case ast.Attribute(attr=word):
                    found |= given_to(part) if word in known.harming else set()
                    found |= base(part.func) if word in known.methods else set()
    return found - known.callables


def taken(node: ast.stmt, inside: Iterable[ast.AST], known: Known) -> set[str]:
    """The user's own modules of which a statement takes values that they hold, their functions and classes aside."""
    if isinstance(node, ast.ImportFrom):
        of = known.module_of(node.module or "")
        return {of.module} if of is not None and any(one.name not in of.callables for one in node.names) else set()
    called = {id(one.func) for one in inside if isinstance(one, ast.Call)}
    return {
        of.module
        for one in inside
        if isinstance(one, ast.Attribute)
        and isinstance(one.value, ast.Name)
        and (of := known.own.get(one.value.id)) is not None
        and (id(one) not in called or one.attr in of.lending)
    } | {
        known.borne[one.id]
        for one in inside
        if isinstance(one, ast.Name) and one.id in known.borne and one.id in known.lending
    }


def keepers(inside: Iterable[ast.AST], known: Known) -> set[str]:
    """The user's own modules that may keep what these nodes give to what is in them."""
    calls = (one for one in inside if isinstance(one, ast.Call) and (one.args or one.keywords))
    names = set[str]().union(*(base(one.func) for one in calls if not _is_gentle(one, known)))
    return {known.own[name].module for name in names & known.own.keys()} | {
        known.borne[name] for name in names & known.borne.keys()
    }


def _acts_elsewhere(node: ast.FunctionDef | ast.AsyncFunctionDef, known: Known) -> bool:
    """Whether a function may change what it is not given: `log.append(1)`."""
    inside = syntax.nodes(node)
    changed = set[str]().union(*(changed_by(one, known) for one in inside if one is not node))
    return bool(changed - local(inside) - known.gentle - known.libraries)


def _lends(node: ast.FunctionDef | ast.AsyncFunctionDef, known: Known) -> bool:
    """Whether a function may give something of what it is not given: `return kept[0]`."""
    inside = syntax.nodes(node)
    others = names_in(inside) - local(inside) - (known.callables - known.lending) - known.libraries
    given = (one.value for one in inside if isinstance(one, ast.Return | ast.Yield | ast.YieldFrom) and one.value)
    held = _made_of(others, inside, known)
    return any(not held.isdisjoint(_held_by(value, known)) for value in given)


def kept(inside: Iterable[ast.AST], known: Known) -> set[str]:
    """Names of the user's functions, and of objects of the user's, that these nodes give to what may call them later.

    It is set as an attribute or an item, or given to a call by a word that says of a change; of a lambda these are the
    names of what it changes. What lists and dicts get counts if it is a function.
    """
    found, given = set[str](), list[ast.AST]()
    for part in inside:
        values, is_put = list[ast.expr](), False
        if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Attribute | ast.Subscript):
            values, is_put = [part.value], isinstance(part.targets[0], ast.Subscript)
        elif isinstance(part, ast.Call) and syntax.last_word(part.func).startswith(_KEEPING):
            values = _arguments(part)
            is_put = syntax.last_word(part.func) in _CHANGERS
        given += values
        found |= names_in(values) & (known.defined if is_put else known.callables)
    for part in (one for value in given for one in syntax.nodes(value) if isinstance(one, ast.Lambda)):
        found |= stored(nodes := syntax.nodes(part)) | risked(nodes, known)
    return found


def local(inside: Iterable[ast.AST]) -> set[str]:
    """Names that functions with these nodes are given, or bind."""
    found = {one.arg for one in inside if isinstance(one, ast.arg)}
    return found | {one.id for one in inside if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}


def _effects(node: ast.FunctionDef | ast.AsyncFunctionDef, known: Known) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """Whether a function may change, or keep, its first argument, and any other one."""
    body = [one for statement in node.body for one in syntax.nodes(statement)]
    changed = set[str]().union(*(changed_by(one, known) for one in body))
    puts = [one for one in body if isinstance(one, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    puts = [one for one in puts if any(isinstance(to, ast.Attribute | ast.Subscript) for to in _targets(one))]
    put = set[str]().union(*(_held_by(value, known) for one in puts for value in values_of(one)))
    for one in body:
        if isinstance(one, ast.Global | ast.Nonlocal):
            put |= names_in(value for other in body for value in values_of(other))
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = [one.arg for one in every if one is not None]
    first, others = (_made_of(given, body, known) for given in ({*names[:1]}, {*names[1:]}))
    return (bool(first & changed), bool(others & changed)), (bool(first & put), bool(others & put))


def _made_of(given: set[str], body: Sequence[ast.AST], known: Known) -> set[str]:
    """Names in the body of a function that may hold what it is given, or some of it."""
    count = -1
    while len(given) != count:
        count = len(given)
        for one in body:
            if any(not given.isdisjoint(_held_by(value, known)) for value in values_of(one)):
                given |= set[str]().union(*(_bound_by(target) for target in _targets(one)))
    return given


def held_by(node: ast.stmt, known: Known) -> set[str] | None:
    """Names whose values, or parts of them, a statement may give to those that it binds; None if it may be all."""
    if isinstance(node, ast.For) and _goes_through_labels(node):
        return set()
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return _held_by_values([node], known)
    if not isinstance(node, _COMPOUND):
        return None
    inside = syntax.nodes(node)
    held, own = _held_by_values(inside, known), local(inside)
    caught = {one.name for one in inside if isinstance(one, ast.ExceptHandler)}
    changing = [one for one in inside if not own.isdisjoint(changed_by(one, known))]
    by_calls = [one for one in changing if isinstance(one, ast.Call)]
    if any(isinstance(one, _DEFINING) for one in inside) or caught & held or len(by_calls) < len(changing):
        return None  # something else may be put into what it binds
    return held.union(*(given_to(one, known) for one in by_calls if not _is_gentle(one, known)))


def _held_by_values(inside: Iterable[ast.AST], known: Known) -> set[str]:
    return set[str]().union(*(_held_by(value, known, repeats=True) for one in inside for value in values_of(one)))


_COMPOUND: Final = (ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Match)
_DEFINING: Final = (*_NAMED, ast.Lambda)


def _goes_through_labels(node: ast.For) -> bool:
    """Whether a loop binds nothing but labels: `for name in frame.columns: print(frame[name])`."""
    body = [one for part in (*node.body, *node.orelse) for one in syntax.nodes(part)]
    return _are_labels(node.iter) and not any(
        isinstance(one, _BINDING) or isinstance(getattr(one, "ctx", None), ast.Store) for one in body
    )


def _are_labels(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _LABELS


_BINDING: Final = (*_NAMED, ast.Import, ast.ImportFrom, ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)


def _held_by(value: ast.expr, known: Known, *, repeats: bool = False) -> set[str]:
    """Names whose values, or parts of them, an expression may give: not those of which it makes numbers or texts.

    With `repeats` a product may be a list that is repeated.
    """
    found = set[str]()
    for node in _given_by(value, known, repeats=repeats):
        match node:
            case ast.ListComp(elt=elt, generators=loops) | ast.SetComp(elt=elt, generators=loops) if all(
                _are_labels(loop.iter) for loop in loops
            ):
                found |= _held_by(elt, known) - names_in(loop.target for loop in loops)
            case _:
                found |= names_in([node])
    return found


def _given_by(
    value: ast.expr, known: Known, *, repeats: bool = False, reducing: Set[str] = _REDUCING
) -> Iterator[ast.expr]:
    """The parts of an expression whose values it may give, `reducing` methods aside; see `_held_by`."""
    todo: list[ast.expr] = [value]
    while todo:  # a sum may have a thousand terms
        match todo.pop():
            case ast.Constant() | ast.JoinedStr():
                continue
            case (ast.UnaryOp() | ast.Compare() | ast.BinOp()) as node if known.spoken & OPERATORS:
                yield node
            case ast.UnaryOp() | ast.Compare():
                continue
            case ast.BinOp(left=left, op=ast.Add() | ast.BitOr(), right=right):  # of lists, of dicts
                todo += [] if _is_number(left) or _is_number(right) else [left, right]
            case ast.BinOp(left=left, op=op, right=right):
                may_repeat = repeats or isinstance(left, ast.List) or isinstance(right, ast.List)
                todo += [left, right] if isinstance(op, ast.Mult) and may_repeat else []
            case ast.Call(func=ast.Name(id=name)) if name in _TELLING:
                continue
            case ast.Call(func=ast.Name(id="sum"), args=[_], keywords=[]) if "sum" not in known.callables:
                continue
            case ast.Call(func=ast.Name(id="zip" | "enumerate" as name), args=items) if name not in known.callables:
                todo += [one for one in items if not _are_labels(one)]
            case ast.Call(func=ast.Attribute(attr=word)) if word in reducing - known.spoken:
                continue
            case ast.Call(func=ast.Attribute(value=ast.Constant() | ast.JoinedStr())):  # of a text
                continue
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                todo += items
            case node:
                yield node


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float | complex)


def _bound_by(target: ast.AST) -> set[str]:
    """Names that an assignment binds, or into which it puts something."""
    if isinstance(target, ast.Attribute | ast.Subscript):
        return base(target)
    return names_in([target])


def values_of(node: ast.AST) -> list[ast.expr]:
    """What a statement binds names to, or a part of it."""
    match node:
        case ast.Assign(value=ast.Tuple(elts=elts) | ast.List(elts=elts)):
            return list(elts)
        case ast.Assign(value=value) | ast.AugAssign(value=value) | ast.NamedExpr(value=value):
            return [value]
        case ast.AnnAssign(value=ast.expr() as value):
            return [value]
        case ast.For(iter=value) | ast.AsyncFor(iter=value) | ast.comprehension(iter=value):
            return [value]
        case ast.withitem(context_expr=value):
            return [value]
        case ast.Match(subject=value):
            return [value]
    return []


def _bound_to(node: ast.stmt) -> list[ast.expr]:
    """What a statement binds names to: a loop to what its iterator gives, which are iterators only from `groupby`."""
    values = values_of(node)
    if isinstance(node, ast.For | ast.AsyncFor):
        return [one for one in values if isinstance(one, ast.Call) and syntax.last_word(one.func) == "groupby"]
    return values


def _targets(node: ast.AST) -> list[ast.AST]:
    """What a statement, or a part of it, binds or puts something into."""
    match node:
        case ast.Assign(targets=targets):
            return list(targets)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target) | ast.NamedExpr(target=target):
            return [target]
        case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
            return [target]
        case ast.withitem(optional_vars=ast.expr() as target):
            return [target]
        case ast.Match(cases=cases):
            return [case.pattern for case in cases]
    return []


def names_in(nodes: Iterable[ast.AST]) -> set[str]:
    """All names in these nodes."""
    found = set[str]()
    for part in nodes:
        for one in syntax.nodes(part):
            if isinstance(one, ast.Name):
                found.add(one.id)
            elif isinstance(one, ast.MatchAs | ast.MatchStar) and one.name:
                found.add(one.name)
    return found


def _bases(node: ast.expr, known: Known) -> set[str]:
    """The same, with the names that are given to calls on the way: `type(x).a = 1` may change `x`."""
    return base(node).union(*(given_to(one, known) for one in syntax.links(node) if isinstance(one, ast.Call)))


def _called(call: ast.Call, known: Known) -> set[str]:
    """The name of what is called, or has it, if no word on the way says of a change.

    In libraries whose functions change nothing, `np.append` does not.
    """
    words = set[str]()
    for one in syntax.links(call.func):
        if isinstance(one, ast.Call):  # what it gives is another thing: `open("x").write("1")`
            words.clear()
        elif isinstance(one, ast.Attribute):
            words.add(one.attr)
        elif isinstance(one, ast.Name):
            words -= _CHANGERS if one.id in known.libraries else set()
            if not any(word.startswith(CHANGING) for word in (*words, one.id)):
                return {one.id} - given_to(call, known)
        else:
            break
    return set()


def _makers(inside: Sequence[ast.AST]) -> set[str]:
    """Classes, by the spelling of their names, of which code only makes objects, as in `Path("data").glob("*")`."""
    called = {id(one.func) for one in inside if isinstance(one, ast.Call)}
    named = [one for one in inside if isinstance(one, ast.Name) and one.id[0].isupper()] if called else []
    return {one.id for one in named} - {one.id for one in named if id(one) not in called}


def _is_eased(node: ast.AST, easing: Set[str]) -> bool:
    """Whether something is changed that is called by a word of chance or surroundings, as `np.random.seed(1)`."""
    return any(isinstance(one, ast.Attribute) and one.attr in easing for one in syntax.links(node))


_NOTHING: Final = Known()
