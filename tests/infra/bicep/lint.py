"""Whole-deployment check of Bicep on our own parser (parse.py), no dependency at all.

usage: lint.py [--types types.json] ENTRY.bicep        follows local modules; exit 1 on findings
Types of resource bodies, undeclared symbols, unknown functions, members of variables, properties read off resources,
module parameters (missing, unknown, wrong kind), module outputs, unused params and vars, ISO 8601 and enum literals.
"""

from pathlib import Path
import difflib, json, os, re, sys
from tests.infra.bicep.parse import parse, BicepError

REQ, RO = 1, 2
FUNCS = {
    f: k
    for k, fs in {
        "s": "base64 base64ToString dataUri dataUriToString dateTimeAdd dateTimeFromEpoch extensionResourceId format guid join loadFileAsBase64 loadTextContent managementGroupResourceId "
        "newGuid padLeft readEnvironmentVariable replace resourceId string subscriptionResourceId substring tenantResourceId toLower toPhysicalZone toUpper trim uniqueString uri "
        "uriComponent uriComponentToString utcNow",
        "i": "dateTimeToEpoch indexOf int lastIndexOf length max min",
        "b": "bool contains empty endsWith startsWith",
        "o": "az deployer deployment environment groupBy loadJsonContent loadYamlContent managementGroup mapValues parseCidr providers resourceGroup shallowMerge subscription tenant toObject",
        "a": "array filter flatten items map objectKeys pickZones range sort split toLogicalZones toPhysicalZones",
        None: "any base64ToJson buildUri cidrHost cidrSubnet coalesce concat externalInput fail first getSecret intersection json last list nameof parseUri reduce reference skip sys take toLogicalZone tryGet union",
    }.items()
    for f in fs.split()
}
KIND = {"s": "string", "i": "int", "b": "bool", "o": "object", "a": "array"}
PRIM = {"string": "s", "int": "i", "bool": "b", "object": "o", "array": "a"}


def text(s):
    return "".join(s[1]) if s and s[0] == "str" and all(isinstance(x, str) for x in s[1]) else None


def type_kind(t):
    if not t:
        return None
    if t[0] == "tid":
        return PRIM.get(t[1])
    if t[0] in ("opt",):
        return type_kind(t[1])
    return {
        "tarr": "a",
        "tuple": "a",
        "tobj": "o",
        "str": "s",
        "num": "i",
        "union": type_kind(t[1][0]) if t[0] == "union" else None,
    }.get(t[0])


class File:
    def __init__(self, lint, path):
        self.lint, self.path, self.src = lint, path, Path(path).read_text("utf-8")
        self.sym, self.used, self.spec = {}, set(), {}
        self.pos = 0
        try:
            self.ast = parse(self.src)
        except BicepError as e:
            self.ast = []
            lint.out.append(f"{path}:{e}")
        for kw, d in self.ast:
            if kw in ("param", "var", "resource", "module", "func", "type"):
                if d["name"] in self.sym:
                    self.say(d["pos"], f"{d['name']} is declared twice")
                self.sym[d["name"]] = (kw, d)
            if kw == "import":
                for s in d["symbols"] if d["symbols"] != "*" else [(d["as"], None)]:
                    self.sym[s[1] or s[0]] = ("import", d)

    def say(self, pos, msg):
        ln = self.src.count("\n", 0, pos) + 1
        self.lint.out.append(f"{self.path}:{ln}:{pos - self.src.rfind(chr(10), 0, pos)}: {msg}")

    def param_spec(self):
        return {
            d["name"]: (type_kind(d.get("type")), "value" in d or (d.get("type") or ("",))[0] == "opt")
            for k, d in self.ast
            if k == "param"
        }

    def run(self):
        for kw, d in self.ast:
            self.pos = d["pos"]
            for dec in d.get("decorators", []):
                self.walk(
                    dec,
                    {"sys"}
                    | set(
                        "secure description allowed minLength maxLength minValue maxValue metadata batchSize export sealed discriminator onlyIfNotExists retryOn waitUntil".split()
                    ),
                )
            if "value" in d and kw not in ("resource", "module"):
                self.walk(d["value"], {a[0] for a in d.get("args", [])})
            if kw == "resource":
                self.resource(d, None)
            if kw == "module":
                self.module(d)
        for n, (kw, d) in self.sym.items():
            if kw in ("param", "var") and n not in self.used:
                self.say(d["pos"], f"{kw} {n} is never used")

    # symbols, in every expression
    def walk(self, e, scope):
        if not isinstance(e, tuple):
            return
        k = e[0]
        if k == "id":
            if e[1] in scope:
                return
            if e[1] in self.sym:
                self.used.add(e[1])
            elif e[1] not in ("az", "sys"):
                self.say(self.pos, f"undeclared name {e[1]}" + self.near(e[1], list(self.sym) + list(scope)))
        elif k == "str":
            [self.walk(x, scope) for x in e[1]]
        elif k == "obj":
            for key, v, pos in e[1]:
                self.pos = pos
                self.walk(key, scope)
                if isinstance(v, tuple) and v[0] == "resource":
                    continue
                self.walk(v, scope)
        elif k == "arr":
            [self.walk(x, scope) for x in e[1]]
        elif k == "call":
            f = e[1]
            if f[0] == "id" and f[1] not in scope:
                if f[1] in self.sym:
                    self.used.add(f[1])
                elif f[1] not in FUNCS and not f[1].startswith("list"):
                    self.say(self.pos, f"unknown function {f[1]}" + self.near(f[1], list(FUNCS)))
            elif f[0] == "dot":
                self.walk(f[1], scope)
            [self.walk(x, scope) for x in e[2]]
        elif k == "lambda":
            self.walk(e[2], scope | set(e[1]))
        elif k == "for":
            self.walk(e[2], scope)
            self.walk(e[3], scope | set(e[1]))
        elif k == "dot":
            self.walk(e[1], scope)
            self.member(e, scope)
        elif k in ("bin", "un"):
            [self.walk(x, scope) for x in e[2:]]
        else:
            [self.walk(x, scope) for x in e[1:]]

    def near(self, n, pool):
        c = difflib.get_close_matches(n, pool, 1)
        return f"; did you mean {c[0]}?" if c else ""

    def target(self, e):
        """The declaration that an expression such as  a, a[i], a!, a::b  names."""
        while e[0] in ("idx", "nonnull"):
            e = e[1]
        if e[0] == "id":
            return self.sym.get(e[1])
        if e[0] == "nest":
            up = self.target(e[1])
            if up:
                return next((("resource", d) for kw, d in self.children(up[1]) if d["name"] == e[2]), None)

    def children(self, d):
        b = d["value"]
        while b[0] in ("cond", "for"):
            b = b[-1]
        return [m[1] for m in b[1] if isinstance(m[1], tuple) and m[1][0] == "resource"] if b[0] == "obj" else []

    def type_of(self, e):
        """Type-table index of  resource.a.b , or None."""
        if e[0] in ("nonnull", "idx"):
            t = self.type_of(e[1])
            return (
                self.lint.T[t]["of"]
                if e[0] == "idx" and t is not None and self.lint.T[t]["k"] == "a"
                else t
                if e[0] == "nonnull"
                else None
            )
        if e[0] != "dot":
            return None
        decl = self.target(e[1])
        if decl and decl[0] == "resource":
            r = self.lint.db["resources"].get(self.spec_of(decl[1]).lower())
            base = r and r["body"]
        else:
            base = self.type_of(e[1])
        if base is None:
            return None
        t = self.lint.T[base]
        if t["k"] in "od":
            p = t["p"].get(e[2])
            if p:
                return p[0]
            return t.get("ap", -1) if t["k"] == "o" else None
        return None

    def spec_of(self, d):
        return self.spec.get(id(d)) or text(d["type"]) or ""

    def member(self, e, scope):
        decl = self.target(e[1]) if not (e[1][0] == "id" and e[1][1] in scope) else None
        if decl and decl[0] == "var" and e[1][0] == "id" and decl[1]["value"][0] == "obj":
            keys = [m[0] for m in decl[1]["value"][1]]
            names = {text(k) if isinstance(k, tuple) else k for k in keys}
            if None not in names and e[2] not in names:
                self.say(self.pos, f"{e[1][1]} has no member {e[2]}" + self.near(e[2], list(names)))
        elif e[1][0] == "dot" and e[1][2] == "outputs":
            m = self.target(e[1][1])
            if m and m[0] == "module" and (f := self.lint.local(self, m[1])):
                outs = [d["name"] for k, d in f.ast if k == "output"]
                if e[2] not in outs:
                    self.say(self.pos, f"module {m[1]['name']} has no output {e[2]}" + self.near(e[2], outs))
        elif e[2] not in ("id", "name", "type", "apiVersion", "properties", "outputs") and self.type_of(e) == -1:
            self.say(self.pos, f".{e[2]}: no such property on the resource")

    def kind(self, e):
        k = e[0]
        if k in ("str", "num", "bool", "obj", "arr", "for"):
            return {"str": "s", "num": "i", "bool": "b", "obj": "o", "arr": "a", "for": "a"}[k]
        if k == "un":
            return "b" if e[1] == "!" else "i"
        if k == "bin":
            return (
                "b"
                if e[1] in ("&&", "||", "==", "!=", "<", ">", "<=", ">=", "=~", "!~")
                else None
                if e[1] == "??"
                else "i"
            )
        if k == "if":
            a, b = self.kind(e[2]), self.kind(e[3])
            return a if a == b else None
        if k == "call" and e[1][0] == "id":
            return FUNCS.get(e[1][1])
        if k == "id" and e[1] in self.sym:
            kw, d = self.sym[e[1]]
            return type_kind(d.get("type")) if kw == "param" else self.kind(d["value"]) if kw == "var" else None
        if k == "dot":
            decl = self.target(e[1])
            if decl and decl[0] == "var" and decl[1]["value"][0] == "obj":
                return next((self.kind(m[1]) for m in decl[1]["value"][1] if m[0] == e[2]), None)
            t = self.type_of(e)
            if t is not None and t >= 0:
                return {"l": "s", "d": "o", "any": None, "null": None, "u": "s"}.get(
                    self.lint.T[t]["k"], self.lint.T[t]["k"]
                )
        return None

    def resource(self, d, parent):
        name, _, ver = (text(d["type"]) or "").partition("@")
        if parent:
            name, ver = f"{parent[0]}/{name}", ver or parent[1]
        self.spec[id(d)] = f"{name}@{ver}"
        L = self.lint
        res = L.db["resources"].get(f"{name.lower()}@{ver}")
        for kid in self.children(d):
            self.spec[id(kid[1])] = f"{name}/{text(kid[1]['type'])}@{ver}"
        if not res:
            known = L.db["known"].get(name.lower())
            self.say(
                d["pos"],
                f"unknown resource type {name}"
                if known is None
                else f"unknown apiVersion {ver} for {name}; known: {', '.join(known[-4:])}"
                if ver not in known
                else f"apiVersion {ver} of {name} is not in the data set",
            )
        b = d["value"]
        scope = set()
        while b[0] in ("cond", "for"):
            if b[0] == "for":
                self.walk(b[2], scope)
                scope |= set(b[1])
            else:
                self.walk(b[1], scope)
            b = b[-1]
        self.pos = d["pos"]
        self.walk(b, scope)
        if res and not d.get("existing"):
            L.check(self, b, res["body"], name, d["pos"], top=True)
        for _, kid in self.children(d):
            self.resource(kid, (name, ver))

    def module(self, d):
        b = d["value"]
        scope = set()
        while b[0] in ("cond", "for"):
            if b[0] == "for":
                self.walk(b[2], scope)
                scope |= set(b[1])
            else:
                self.walk(b[1], scope)
            b = b[-1]
        self.walk(b, scope)
        f = self.lint.local(self, d)
        if not f:
            return
        body = {m[0]: m for m in b[1]}
        given = body.get("params", (0, ("obj", []), d["pos"]))[1]
        for k in body:
            if k not in ("name", "scope", "params", "dependsOn"):
                self.say(body[k][2], f"module {d['name']}: no such property {k}")
        spec = f.param_spec()
        seen = {m[0]: m for m in given[1]}
        for n, (kind, optional) in spec.items():
            if n not in seen:
                if not optional:
                    self.say(d["pos"], f"module {d['name']}: parameter {n} is missing")
            elif kind and (g := self.kind(seen[n][1])) and g != kind:
                self.say(seen[n][2], f"module {d['name']}.{n}: wants {KIND[kind]}, given {KIND[g]}")
        for n in seen:
            if n not in spec:
                self.say(seen[n][2], f"module {d['name']}: no such parameter {n}" + self.near(n, list(spec)))


class Lint:
    def __init__(self, types):
        self.db = json.loads(Path(types).read_text())
        self.T = self.db["types"]
        self.out = []
        self.files = {}

    def load(self, path):
        path = os.path.normpath(path)
        if path not in self.files:
            self.files[path] = f = File(self, path)
            f.run()
        return self.files[path]

    def local(self, f, d):
        p = text(d["type"])
        if not p or ":" in p:
            return None
        p = os.path.join(os.path.dirname(f.path), p)
        if not os.path.exists(p):
            m = f"module file {p} does not exist"
            if not any(m in o for o in self.out):
                f.say(d["pos"], m)
            return None
        return self.load(p)

    def accepts(self, ti, k):
        t = self.T[ti]
        return (
            any(self.accepts(x, k) for x in t["of"])
            if t["k"] == "u"
            else t["k"] == "any" or {"l": "s", "d": "o"}.get(t["k"], t["k"]) == k
        )

    def check(self, f, e, ti, where, pos, top=False, partial=False):
        t = self.T[ti]
        k = e[0]
        if k == "if":
            [self.check(f, x, ti, where, pos, False, partial) for x in e[2:]]
            return
        if k == "cond":
            return self.check(f, e[2], ti, where, pos, top, partial)
        if k == "bin" and e[1] == "??":
            [self.check(f, x, ti, where, pos, False, partial) for x in e[2:]]
            return
        if k == "id" and f.sym.get(e[1], ("",))[0] == "var":
            return self.check(f, f.sym[e[1]][1]["value"], ti, where, pos, False, partial)
        if k == "call" and e[1] in (("id", "union"), ("id", "shallowMerge")):
            [self.check(f, x, ti, where, pos, False, True) for x in e[2]]
            return
        if t["k"] == "any" or k == "null":
            return
        g = f.kind(e)
        if g and not self.accepts(ti, g):
            return f.say(
                pos,
                f"{where}: wants {KIND.get(t['k'], 'object' if t['k'] == 'd' else 'a known value')}, given {KIND[g]}",
            )
        lit = text(e)
        if t["k"] in "ul" and lit is not None:
            lits = [self.T[x]["v"] for x in (t["of"] if t["k"] == "u" else [ti]) if self.T[x]["k"] == "l"]
            if lits and lit not in lits:
                f.say(pos, f"{where}: {lit!r} is not one of {lits}")
        if t["k"] == "s" and lit is not None:
            if not t.get("min", 0) <= len(lit) <= t.get("max", 1 << 30):
                f.say(pos, f"{where}: length {len(lit)} out of bounds")
            elif "pat" in t and not re.search(t["pat"], lit):
                f.say(pos, f"{where}: {lit!r} does not match {t['pat']}")
            elif re.search(r"(Frequency|windowSize|Duration)$", where) and not re.fullmatch(
                r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?", lit
            ):
                f.say(pos, f"{where}: {lit!r} is not an ISO 8601 duration")
        if t["k"] == "i" and k == "num" and not t.get("min", -1 << 62) <= e[1] <= t.get("max", 1 << 62):
            f.say(pos, f"{where}: {e[1]} out of bounds")
        if t["k"] == "a":
            for x in e[1] if k == "arr" else [e[3]] if k == "for" else []:
                if x[0] != "spread":
                    self.check(f, x, t["of"], where + "[]", pos)
        if t["k"] in "od" and k == "obj":
            self.object(f, e, t, where, pos, top, partial)

    def object(self, f, e, t, where, pos, top, partial):
        allowed, extra, seen, is_open = dict(t["p"]), t.get("ap"), set(), partial
        items = [m for m in e[1] if not (isinstance(m[1], tuple) and m[1][0] == "resource")]
        if t["k"] == "d":
            tag = next(
                (text(v) for key, v, _ in items if (text(key) if isinstance(key, tuple) else key) == t["on"]), ""
            )
            if tag == "" and not partial:
                f.say(pos, f"{where}: {t['on']} (which selects the shape) is missing")
            if not tag:
                return
            if tag not in t["e"]:
                return f.say(pos, f"{where}.{t['on']}: {tag!r} is not one of {sorted(t['e'])}")
            allowed.update(self.T[t["e"][tag]]["p"])
            extra = self.T[t["e"][tag]].get("ap")
        for key, v, p in items:
            if key is None:
                is_open = True
                continue  # a spread
            key = text(key) if isinstance(key, tuple) else key
            if key is None:
                is_open = True
                if extra is not None:
                    self.check(f, v, extra, where + ".*", p)
                continue
            if key in seen:
                f.say(p, f"{where}.{key}: given twice")
            seen.add(key)
            if top and key in ("parent", "scope", "dependsOn"):
                continue
            if key in allowed:
                if allowed[key][1] & RO and not (top and key == "name"):
                    f.say(p, f"{where}.{key}: read-only")
                else:
                    self.check(f, v, allowed[key][0], f"{where}.{key}", p)
            elif extra is not None:
                self.check(f, v, extra, f"{where}.{key}", p)
            else:
                f.say(p, f"{where}.{key}: no such property" + f.near(key, list(allowed)))
        if not is_open:
            for key, (_, fl) in allowed.items():
                if fl & REQ and not fl & RO and key not in seen:
                    f.say(pos, f"{where}.{key}: required property is missing")


if __name__ == "__main__":
    args = sys.argv[1:]
    types = os.path.join(os.path.dirname(os.path.abspath(__file__)), "types.json")
    if args[:1] == ["--types"]:
        types, args = args[1], args[2:]
    L = Lint(types)
    for a in args:
        L.load(a)
    print("\n".join(dict.fromkeys(L.out)) or f"{len(L.files)} file(s): no findings")
    sys.exit(bool(L.out))
