"""Offline evaluator of Azure Bicep: which resources would this main.bicep deploy, given these parameters?

    deployment = evaluate('infra/main.bicep', {'environmentName': 'test', 'location': 'westeurope'})   # or 'infra/main.bicepparam'
    for r in deployment: print(r.label, r.type, r.name, r.get('properties.allowSharedKeyAccess'))

A deployment is the list of the Resources whose condition is true, or known only in Azure; .skipped, .existing and .modules hold the others, .outputs and
.params the values. What only Azure knows is a Sym, a str that reads <main/identity.properties.principalId>, alone or inside a longer text; functions of
it read <toLower(...)>, and what needs a skipped resource <not deployed: ...>. Ids, names and types of declared resources are real values.
It can:   parameters with defaults and checks, variables, conditions, loops, modules at any scope, nested, existing, extension and Graph resources, user-defined
          functions, imports, lambdas, spread, safe access, load*Content (YAML: a symbol), .bicepparam, parameters.json. br: modules are read from `registry`
          (a folder, or a function from reference to path); without it they are opaque: listed as modules, their outputs symbols.
It can't: tell whether Azure accepts the result, check bodies against types (lint.py does), or enforce the compiler's other rules (BCP120 ...).
          utcNow() and newGuid() are fixed. A null for a parameter that has a default means the default, as in ARM.
"""

import argparse, base64, functools, json, os, re, sys
from tests.infra.bicep.functions import (
    DEPLOYMENTS,
    FUNCTIONS,
    GROUPS,
    RUNTIME,
    Context,
    EvalError,
    FromEnd,
    Lambda,
    Surroundings,
    Sym,
    apply,
    call_text,
    choose,
    fmt,
    get,
    kind_of,
    logic,
    make_id,
    plain,
    segments,
    show,
    sym,
    symbolic,
    text,
)
from tests.infra.bicep.parse import BicepError, parse

OPERATORS = {
    "==": "equals",
    "!=": "equals",
    ">": "greater",
    ">=": "greaterOrEquals",
    "<": "less",
    "<=": "lessOrEquals",
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "%": "mod",
}


# ---- one file
@functools.lru_cache(maxsize=None)
def load(path, stamp):
    with open(path, encoding="utf-8-sig") as f:
        source = f.read()
    try:
        return source, parse(source)
    except BicepError as e:
        raise EvalError(f"{path}:{e}") from None


def literal(e):
    return "".join(e[1]) if e and e[0] == "str" and all(isinstance(x, str) for x in e[1]) else None


def unwrap(body):
    """(loop or None, condition or None, object) of a declaration's value."""
    loop = body if body[0] == "for" else None
    if loop:
        body = loop[3]
    return loop, *(body[1:] if body[0] == "cond" else (None, body))


class Template(Surroundings):
    """One .bicep file with its parameter values, at one scope; or, for imports and parameter files, a library without either."""

    def __init__(
        self, ctx, path, label="", scope="", given=None, group=None, condition=True, deployment_name="", library=False
    ):
        self.ctx, self.path, self.label, self.scope, self.given, self.group = (
            ctx,
            os.path.normpath(path),
            label,
            scope,
            given or {},
            group,
        )
        self.condition, self.deployment_name, self.library, self.target = (
            condition,
            deployment_name,
            library,
            "resourceGroup",
        )
        self.decls, self.outputs, self.memo, self.done, self.libs = {}, {}, {}, {}, {}
        try:
            stat = os.stat(self.path)
        except OSError:
            raise EvalError(f"{path}: no such file") from None
        self.source, self.ast = load(self.path, (stat.st_mtime_ns, stat.st_size))
        for kw, d in self.ast:
            if kw in ("param", "var", "func", "type"):
                self.decls[d["name"]] = (kw, d)
            elif kw in ("resource", "module"):
                self.declare(d["name"], kw, d)
            elif kw == "output":
                self.outputs[d["name"]] = d
            elif kw == "targetScope":
                self.target = literal(d["value"])
            elif kw == "import":
                for name, alias in [(None, d["as"])] if d["symbols"] == "*" else d["symbols"]:
                    self.decls[alias or name] = ("import", {**d, "name": name})
        if library:
            return
        self.params = {
            n: self.trying(lambda: self.value(n), sym(f"parameter {n}"))
            for n, (kw, d) in self.decls.items()
            if kw == "param"
        }
        for n in self.given:
            if n not in self.params:
                self.report(0, f"there is no parameter {n}")

    def declare(self, key, kw, d):
        """A resource or module, and below 'key::' the resources nested in it."""
        self.decls[key] = (kw, d)
        for m in unwrap(d["value"])[2][1]:
            if isinstance(m[1], tuple) and m[1][0] == "resource":
                self.declare(f"{key}::{m[1][1]['name']}", *m[1])

    ref = property(lambda self: f"{self.label}.outputs")

    # errors
    def where(self, pos, message):
        return f"{self.path}:{self.source.count(chr(10), 0, pos) + 1}: {message}"

    def report(self, pos, message):
        self.ctx.errors.append(self.where(pos, f"{self.label}: {message}"))

    def at(self, pos, thunk):
        """Run, and give an error its place (the innermost wins)."""
        try:
            return thunk()
        except EvalError as e:
            if e.at is None:
                e.at, e.args = pos, (self.where(pos, e.args[0]),)
            raise

    def trying(self, thunk, default=None):
        """Run, and note an error rather than raise it."""
        try:
            return thunk()
        except EvalError as e:
            self.ctx.errors.append(str(e))
            return default

    # symbols
    def member(self, key, safe=False):
        """A module's output, or an imported symbol."""
        if self.library:
            return self.value(key)
        if key not in self.outputs and not safe:
            raise EvalError(f"{self.label} has no output {key}")
        if key not in self.done and key in self.outputs:
            self.done[key] = plain(self.at(self.outputs[key]["pos"], lambda: self.ev(self.outputs[key]["value"], {})))
        return self.done.get(key)

    def value(self, name):
        """The value of a top-level symbol, computed once."""
        if name not in self.memo:
            if name not in self.decls:
                raise EvalError(f"{name} is not declared")
            kw, d = self.decls[name]
            self.memo[name] = EvalError
            try:
                self.memo[name] = self.at(d["pos"], lambda: self.compute(name, kw, d))
            except EvalError:
                del self.memo[name]
                raise
        if self.memo[name] is EvalError:
            raise EvalError(f"{name} depends on itself")
        return self.memo[name]

    def compute(self, name, kw, d):
        if kw == "param":
            return self.parameter(name, d)
        if kw == "var":
            return self.ev(d["value"], {})
        if kw == "import":
            return self.lib(d) if d["name"] is None else self.lib(d).value(d["name"])
        if kw not in ("resource", "module"):
            raise EvalError(f"{name} is a {kw}, not a value")
        outer = {"::": tuple(name.split("::")[:-1])}
        loop, condition, body = unwrap(d["value"])
        if not loop:
            return Resource(self, name, kw, d, condition, body, outer)
        items = self.ev(loop[2], outer)
        rounds = (
            [("*", sym("*"), sym(f"{show(items)}[*]"))]
            if isinstance(items, Sym)
            else [(i, i, x) for i, x in enumerate(items)]
        )
        return [
            Resource(self, name, kw, d, condition, body, {**outer, **dict(zip(loop[1], (x, i)))}, index)
            for index, i, x in rounds
        ]

    def locate(self, ref):
        """The file that a module or import reference means; None if it is not on this machine or not Bicep."""
        m, registry = (
            re.match(r"(?:br|ts)(?:/public:|:mcr\.microsoft\.com/bicep/|[/:])(.+):[^:]+$", ref),
            self.ctx.registry,
        )
        if not m:
            return None if ref.endswith(".json") else os.path.join(os.path.dirname(self.path), ref)
        path = registry and (registry(ref) if callable(registry) else os.path.join(registry, m[1], "main.bicep"))
        return path if path and os.path.exists(path) else None

    def lib(self, d):
        path = self.locate(literal(d["path"]))
        if not path:
            raise EvalError(f"cannot import from {literal(d['path'])}")
        if path not in self.libs:
            self.libs[path] = Template(self.ctx, path, self.label, library=True)
        return self.libs[path]

    # parameters
    def parameter(self, name, d):
        v = self.given.get(name)
        if v is None:
            if "value" in d:
                v = self.ev(d["value"], {})
            elif self.fits(d.get("type"), None):
                return None
            else:
                self.report(d["pos"], f"parameter {name} is missing")
                return sym(f"parameter {name}")
        problem = None if symbolic(v) else self.problem(d, v)
        if problem:
            self.report(d["pos"], f"parameter {name}: {problem}")
        return v

    def problem(self, d, v):
        if not self.fits(d.get("type"), v):
            return f"{show(v)[:80]} does not fit its type"
        size = len(v) if isinstance(v, (str, list)) else v
        for dec in d["decorators"]:
            if dec[0] != "call" or not dec[2]:
                continue
            rule, limit = dec[1][-1] if dec[1][0] == "id" else dec[1][2], self.ev(dec[2][0], {})
            if rule == "allowed" and v not in limit and not (isinstance(v, list) and all(x in limit for x in v)):
                return f"{show(v)} is not one of {show(limit)}"
            if rule in ("minLength", "minValue") and size < limit or rule in ("maxLength", "maxValue") and size > limit:
                return f"{show(v)} breaks {rule} {limit}"

    def fits(self, t, v):
        """Does a value fit a type? What is not understood (generics, types of properties) fits."""
        if isinstance(v, Sym):
            return True
        match t:
            case ("opt", inner, mark):
                return v is None and mark == "?" or self.fits(inner, v)
            case ("union", options):
                return any(self.fits(o, v) for o in options)
            case ("str", _):
                return v == literal(t)
            case ("num", n):
                return v == n and not isinstance(v, bool)
            case ("tarr", inner):
                return isinstance(v, list) and all(self.fits(inner, x) for x in v)
            case ("tuple", inner):
                return isinstance(v, list) and len(v) == len(inner) and all(map(self.fits, inner, v))
            case ("tobj", members):
                return isinstance(v, dict) and all(
                    self.fits(m[1], v.get(literal(m[0]) if isinstance(m[0], tuple) else m[0]))
                    for m in members
                    if m[0] not in ("*", "spread")
                )
            case ("tid", "true" | "false" | "null"):
                return v is {"true": True, "false": False, "null": None}[t[1]]
            case ("tid", "string" | "bool" | "object" | "array" | "int"):
                return type(v) is {"string": str, "bool": bool, "object": dict, "array": list, "int": int}[t[1]]
            case ("tid", name) if name in self.decls:
                kw, d = self.decls[name]
                if kw == "type":
                    return self.fits(d["type"], v)
                return kw != "import" or not self.locate(literal(d["path"])) or self.lib(d).fits(("tid", d["name"]), v)
        return v is not None or t is None or t == ("tid", "any")

    # expressions
    def ev(self, e, loc):
        """The value of an expression; loc holds loop and lambda variables, and under '::' the names of the enclosing resources."""
        match e:
            case ("str", parts):
                return text([p if isinstance(p, str) else self.ev(p, loc) for p in parts])
            case ("num" | "bool", v):
                return v
            case ("null",):
                return None
            case ("obj", members):
                return self.obj(members, loc)
            case ("arr", items):
                return self.merged(
                    "flatten",
                    [(x[0] == "spread", x[-1] if x[0] == "spread" else x) for x in items],
                    loc,
                    list,
                    lambda out, x: out.append(self.ev(x, loc)),
                )
            case ("id", name):
                return loc[name] if name in loc else self.value(self.key_of(name, loc))
            case ("dot", base, key, safe):
                return get(self.ev(base, loc), key, safe or self.safe(base))
            case ("idx", base, index, safe):
                return get(self.ev(base, loc), self.ev(index, loc), safe or self.safe(base))
            case ("fromend", n):
                return FromEnd(self.ev(n, loc))
            case ("nest", base, name):
                return self.value(f"{self.ev(base, loc).key}::{name}")
            case ("nonnull", inner):
                return self.ev(inner, loc)
            case ("call", f, args):
                return self.call(f, args, loc)
            case ("lambda", names, body):
                return Lambda((names, body, self, loc))
            case ("if", c, a, b):
                return choose(self.ev(c, loc), lambda: self.ev(a, loc), lambda: self.ev(b, loc))
            case ("un", "!", a):
                return apply("not", [self.ev(a, loc)])
            case ("un", "-", a):
                return apply("sub", [0, self.ev(a, loc)])
            case ("un", _, a):
                return self.ev(a, loc)
            case ("bin", op, a, b):
                return self.binary(op, self.ev(a, loc), lambda: self.ev(b, loc))
            case ("for", names, src, body):
                items = self.ev(src, loc)
                return (
                    sym(call_text("for", [items]))
                    if isinstance(items, Sym)
                    else [self.ev(body, {**loc, **dict(zip(names, (x, i)))}) for i, x in enumerate(items)]
                )
        raise EvalError(f"cannot evaluate {e[0]}")

    def safe(self, e):
        """Is there a safe access further left in this chain? It makes the rest of the chain safe."""
        while e[0] in ("dot", "idx") and not e[3]:
            e = e[1]
        return e[0] in ("dot", "idx")

    def key_of(self, name, loc):
        """The declaration that a bare name means here: one nested in an enclosing resource comes first."""
        outer = loc.get("::", ())
        return next((k for n in range(len(outer), 0, -1) if (k := "::".join(outer[:n] + (name,))) in self.decls), name)

    def binary(self, op, a, b):
        if op in ("&&", "||"):
            return logic("and" if op == "&&" else "or", a, b)
        if op == "??":
            return b() if a is None else apply("coalesce", [a, b()]) if isinstance(a, Sym) and a.whole else a
        if op in ("=~", "!~"):
            v = apply("equals", [apply("toLower", [a]), apply("toLower", [b()])])
        else:
            v = apply(OPERATORS[op], [a, b()])
        return apply("not", [v]) if op[0] == "!" else v

    def merged(self, function, items, loc, kind, put):
        """An array or object; with spreads in it, its parts are put together by a function."""
        parts, out = [], None
        for spread, x in items:
            if spread:
                parts.append(self.ev(x, loc))
                out = None
            else:
                if out is None:
                    out = kind()
                    parts.append(out)
                put(out, x)
        return apply(function, [parts]) if any(s for s, _ in items) else parts[0] if parts else kind()

    def obj(self, members, loc):
        def put(out, m):
            out[self.ev(m[0], loc) if isinstance(m[0], tuple) else m[0]] = self.at(m[2], lambda: self.ev(m[1], loc))

        return self.merged(
            "shallowMerge",
            [(m[1][0] == "spread", m[1][1] if m[1][0] == "spread" else m) for m in members if m[1][0] != "resource"],
            loc,
            dict,
            put,
        )

    def call(self, f, args, loc):
        name, base = f[1] if f[0] == "id" else f[2], None
        if f[0] == "dot" and not (f[1][0] == "id" and f[1][1] in ("az", "sys") and f[1][1] not in self.decls):
            base = self.ev(f[1], loc)
        if name == "nameof":
            return literal(args[0][2]) or args[0][2] if args[0][0] in ("dot", "idx", "nest") else args[0][1]
        args = [self.ev(a, loc) for a in args]
        if isinstance(base, Template):
            return base.user(name, args)
        if base is not None:
            return sym(f"{show(base)}.{name}({'' if name.startswith('list') else ', '.join(map(show, args))})")
        if f[0] == "id" and self.decls.get(name, "-")[0] in ("func", "import"):
            return self.user(name, args)
        if name in FUNCTIONS or name in RUNTIME:
            return apply(name, args)
        if hasattr(self, "f_" + name):
            return getattr(self, "f_" + name)(*args)
        if name.startswith("list") and args:
            return sym(f"{fmt(args[0])}.{name}()")
        raise EvalError(f"unknown function {name}")

    def user(self, name, args):
        kw, d = self.decls.get(name, ("", {}))
        if kw == "import":
            return self.lib(d).user(d["name"], args)
        if kw != "func":
            raise EvalError(f"{name} is not a function")
        return self.ev(d["value"], dict(zip((a[0] for a in d["args"]), args)))

    # files
    def read(self, name):
        try:
            with open(os.path.join(os.path.dirname(self.path), name), "rb") as f:
                return f.read()
        except OSError as e:
            raise EvalError(str(e)) from None

    def f_loadTextContent(self, name, encoding="utf-8"):
        return (
            self.read(name)
            .decode({"us-ascii": "ascii", "iso-8859-1": "latin-1"}.get(encoding, encoding))
            .lstrip("\ufeff")
        )

    def f_loadFileAsBase64(self, name):
        return base64.b64encode(self.read(name)).decode()

    def f_loadJsonContent(self, name, path="", *rest):
        v = json.loads(self.f_loadTextContent(name))
        for key in re.findall(r"[^.\[\]$]+", path or ""):
            v = get(v, int(key) if isinstance(v, list) else key.strip("'\""))
        return v

    def f_readEnvironmentVariable(self, name, default=None):
        if name not in os.environ and default is None:
            raise EvalError(f"environment variable {name} is not set")
        return os.environ.get(name, default)

    # resources
    def instances(self):
        """Every resource and module of this file and, through modules that are not skipped, of those below."""
        for key in [k for k, (kw, d) in self.decls.items() if kw in ("resource", "module")]:
            found = self.trying(lambda: self.value(key), [])
            for r in found if isinstance(found, list) else [found]:
                yield r
                child = self.trying(lambda: r.child if r.kind == "module" and r.condition is not False else None)
                if child:
                    yield from child.instances()

    def mentioned(self, e, loc, out):
        """Collect the keys of the resources and modules that an expression mentions, also through variables."""
        match e:
            case list():
                for x in e:
                    self.mentioned(x, loc, out)
            case ("id", name) if name not in loc:
                key = self.key_of(name, loc)
                kw, d = self.decls.get(key, ("", {}))
                if kw in ("resource", "module"):
                    out[key] = True
                elif kw == "var":
                    self.mentioned(d["value"], {}, out)
            case ("fromend", n):
                return FromEnd(self.ev(n, loc))
            case ("nest", base, name):
                out.update({f"{k}::{name}": True for k in self.mentioned(base, loc, {})})
            case ("obj", members):
                self.mentioned([x for key, v, _ in members for x in (key, v)], loc, out)
            case tuple() if e[0] != "resource":
                self.mentioned(list(e), loc, out)
        return out


# ---- one resource
def field(f):
    """A property computed on first use, its errors given the place of the declaration."""
    return functools.cached_property(
        functools.wraps(f)(lambda self: self.template.at(self.decl["pos"], lambda: f(self)))
    )


class Resource:
    """One resource, existing resource or module, of one round of its loop.

    kind ('resource', 'existing', 'module'), module ('main/app'), symbol ('alert[0]'), label ('main/app/alert[0]'), type, api_version, name, id, scope (an id),
    condition (True, False or a Sym; with those of enclosing resources and modules), parent (a label or None), body, depends_on (labels), and for modules child."""

    def __init__(self, template, key, kw, decl, condition, body, loc, index=None):
        self.template, self.key, self.decl, self.when, self.index, self.opaque = (
            template,
            key,
            decl,
            condition,
            index,
            False,
        )
        self.kind = "module" if kw == "module" else "existing" if decl.get("existing") else "resource"
        self.module, self.symbol = template.label, key if index is None else f"{key}[{index}]"
        self.label, self.loc, self.inner = f"{self.module}/{self.symbol}", loc, {**loc, "::": tuple(key.split("::"))}
        self.members, self.all_members = {m[0]: m[1] for m in body[1] if m[0]}, body[1]

    ref = property(lambda self: self.label)
    type = property(lambda self: self.spec[0])
    api_version = property(lambda self: self.spec[1])

    def ev(self, key):
        return self.template.ev(self.members[key], self.inner)

    @field
    def enclosing(self):
        return self.template.value(self.key.rpartition("::")[0]) if "::" in self.key else None

    @field
    def above(self):
        """The parent Resource: the enclosing one, or that of `parent:`."""
        return self.enclosing or (self.ev("parent") if "parent" in self.members else None)

    @field
    def parent(self):
        return self.above and show(self.above)

    @field
    def spec(self):
        if self.kind == "module":
            return DEPLOYMENTS, ""
        type_, _, version = literal(self.decl["type"]).removeprefix("az:").partition("@")
        return (
            (f"{self.enclosing.type}/{type_}", version or self.enclosing.api_version)
            if self.enclosing
            else (type_, version)
        )

    @property
    def foreign(self):
        """Of an extension (Microsoft Graph, Kubernetes): no Azure id, and the body's own values can be read from it."""
        return (
            self.type.lower().startswith("microsoft.graph/")
            or "." not in self.type.partition("/")[0]
            or ":" in self.type
        )

    @field
    def condition(self):
        c = self.enclosing.condition if self.enclosing else self.template.condition
        return c if self.when is None else logic("and", c, lambda: self.template.ev(self.when, self.loc))

    @field
    def own_name(self):
        if self.kind == "module" and "name" not in self.members:  # as the compiler names it
            return text(
                [
                    self.key[: 50 if self.index is None else 46],
                    *(() if self.index is None else (f"-{self.index}",)),
                    "-",
                    apply("uniqueString", [self.key, self.template.deployment_name]),
                ]
            )
        name = next((self.ev(k) for k in ("name", "uniqueName", "displayName") if k in self.members), "")
        if not isinstance(name, str):
            raise EvalError(f"the name of {self.label} is {show(name)[:80]}")
        return name

    @field
    def name(self):
        return (
            text([self.above.name, "/", self.own_name])
            if isinstance(self.above, Resource) and not self.foreign
            else self.own_name
        )

    @field
    def scope(self):
        if isinstance(self.above, Resource):
            return self.above.scope
        v = None if self.foreign or "scope" not in self.members else self.ev("scope")
        if v is None:
            return self.template.scope
        return (
            v.id
            if isinstance(v, Resource)
            else v
            if isinstance(v, str)
            else ""
            if v["id"].startswith("/tenants/")
            else v["id"]
        )

    @field
    def id(self):
        if self.foreign:
            return sym(f"{self.ref}.id")
        if isinstance(self.above, Resource):
            return text([self.above.id, "/", self.type.rpartition("/")[2], "/", self.own_name])
        return make_id(self.scope, self.type, segments(self.name))

    @field
    def body(self):
        """What the declaration says, without name, scope, parent and dependsOn; of a module its params."""
        left_out = {"parent", "dependsOn"} | (set() if self.foreign else {"name", "scope"})
        return plain(
            self.template.obj(
                [m for m in self.all_members if (m[0] == "params" if self.kind == "module" else m[0] not in left_out)],
                self.inner,
            )
        )

    @field
    def depends_on(self):
        """Labels of the resources and modules that have to come first; existing ones pass on what they depend on."""
        t, out, found = self.template, {self.enclosing.key: True} if self.enclosing else {}, {}
        t.mentioned(list(self.members.values()), self.inner, out)
        t.mentioned(self.when, self.loc, out)
        for k in out:
            kw, d = t.decls.get(k, ("", {}))
            if k == self.key or not kw:
                continue
            instances = t.value(k) if d.get("existing") else []
            found.update(
                {x: True for r in (instances if isinstance(instances, list) else [instances]) for x in r.depends_on}
                if d.get("existing")
                else {f"{self.module}/{k}": True}
            )
        return list(found)

    @field
    def child(self):
        """The module's file, evaluated with this module's parameters; None for an opaque module."""
        t = self.template
        path = t.locate(literal(self.decl["type"]))
        if not path:
            self.opaque = True
            return None
        target = self.ev("scope") if "scope" in self.members else None
        group = (
            target.body
            if isinstance(target, Resource) and target.type.lower() == GROUPS and target.kind == "resource"
            else t.group
            if self.scope == t.scope
            else None
        )
        made = Template(t.ctx, path, self.label, self.scope, self.body.get("params"), group, self.condition, self.name)
        if not symbolic(self.scope) and kind_of(self.scope) != made.target:
            raise EvalError(f"{self.label} wants the scope of a {made.target}, given that of a {kind_of(self.scope)}")
        return made

    def member(self, key, safe=False):
        """self.key in an expression."""
        if self.foreign and key in self.members:
            return self.ev(key)
        if key == "name":
            return self.own_name
        if self.kind != "module" and key in ("type", "apiVersion", "id"):
            return self.id if key == "id" else self.spec[key != "type"]
        if self.condition is False:
            return None if safe else sym(f"not deployed: {self.ref}.{key}")
        return self.child if self.kind == "module" and key == "outputs" and self.child else sym(f"{self.ref}.{key}")

    def get(self, path, default=None):
        """A value of the body by a dotted path: get('properties.siteConfig.minTlsVersion')."""
        v = self.body
        for key in path.split("."):
            try:
                v = get(v, int(key) if isinstance(v, list) else key, True)
            except (EvalError, ValueError):
                return default
        return default if v is None else v

    def as_dict(self):
        """Every field; of a skipped resource those that can be had."""
        out = {}
        for k in (
            "label",
            "kind",
            "type",
            "api_version",
            "name",
            "id",
            "scope",
            "condition",
            "parent",
            "depends_on",
            "body",
        ):
            try:
                out[k] = getattr(self, k)
            except EvalError:
                if self.condition is not False:
                    raise
                out[k] = None
        return out

    def __repr__(self):
        return f"<{self.label} {self.type} {self.name}>"


# ---- a deployment
class Deployment(list):
    """The resources that would be deployed; .skipped .existing .modules .outputs .params .errors beside them."""

    def __init__(self, template):
        self.skipped, self.existing, self.modules, self.errors, self.params = (
            [],
            [],
            [],
            template.ctx.errors,
            template.params,
        )
        for r in template.instances():
            if template.trying(r.as_dict):
                (
                    self.skipped
                    if r.condition is False
                    else {"existing": self.existing, "module": self.modules}.get(r.kind, self)
                ).append(r)
        self.outputs = {n: template.trying(lambda: template.member(n)) for n in template.outputs}

    def of(self, type_):
        return [r for r in self if r.type.lower() == type_.lower()]


def read_params(path, ctx=None):
    """The values in a .bicepparam or a parameters.json (azd's ${NAME=default} comes from the environment)."""
    if path.endswith(".json"):
        with open(path, encoding="utf-8-sig") as f:
            raw = re.sub(r"\$\{(\w+)(?:=([^}]*))?\}", lambda m: os.environ.get(m[1], m[2] or ""), f.read())
        return {k: v.get("value") for k, v in json.loads(raw)["parameters"].items()}
    t = Template(ctx or Context(), path, "params", library=True)
    bases = [
        read_params(os.path.join(os.path.dirname(path), literal(d["path"])), ctx) for kw, d in t.ast if kw == "extends"
    ]
    return {
        **(bases[0] if bases else {}),
        **{n: plain(t.at(d["pos"], lambda: t.ev(d["value"], {}))) for n, (kw, d) in t.decls.items() if kw == "param"},
    }


def evaluate(path, params=None, strict=True, **surroundings):
    """Evaluate a .bicep file; params: a dict, a .bicepparam or a parameters.json. Raises EvalError with every error found unless strict is false (then .errors).
    surroundings: subscription, tenant, resource_group, management_group, location, deployment (name), now, cloud, registry."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 20000))
    ctx, stem = Context(**surroundings), os.path.splitext(os.path.basename(path))[0]
    given = read_params(os.fspath(params), ctx) if isinstance(params, (str, os.PathLike)) else params
    try:
        result = Deployment(
            Template(
                ctx,
                path,
                stem,
                ctx.root(Template(ctx, path, library=True).target),
                given,
                deployment_name=ctx.deployment or stem,
            )
        )
    except RecursionError:
        raise EvalError(f"{path}: declarations that depend on each other") from None
    if ctx.errors and strict:
        raise EvalError("\n".join(dict.fromkeys(ctx.errors)))
    return result


def main(argv=None):
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("file")
    ap.add_argument("--params", help=".bicepparam or parameters.json")
    ap.add_argument("--registry", help="folder with the files of br: modules")
    ap.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter; the value is JSON, or else text"
    )
    ap.add_argument("--json", action="store_true", help="everything, as JSON")
    ap.add_argument("--table", action="store_true", help="one line for each (the default)")
    a = ap.parse_args(argv)
    if a.file.endswith(".bicepparam"):
        ap.error("give the .bicep file, and the parameters with --params")
    try:
        given = read_params(a.params) if a.params else {}
        for s in a.set:
            k, _, v = s.partition("=")
            try:
                given[k] = json.loads(v)
            except ValueError:
                given[k] = v
        d = evaluate(a.file, given, registry=a.registry)
    except EvalError as e:
        print(e, file=sys.stderr)
        return 1
    groups = {
        k: [r.as_dict() for r in rs]
        for k, rs in (("resources", d), ("existing", d.existing), ("modules", d.modules), ("skipped", d.skipped))
    }
    if a.json:
        print(json.dumps({**groups, "outputs": d.outputs}, indent=2))
        return 0
    rows = [
        (
            r["label"],
            f"{r['type']}@{r['api_version']}".rstrip("@"),
            r["name"] or "",
            "" if k == "resources" else k,
            "" if r["condition"] in (True, False) else f"if {r['condition']}",
        )
        for k, rs in groups.items()
        for r in rs
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
