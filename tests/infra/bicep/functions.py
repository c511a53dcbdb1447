"""Values and functions of Bicep, for eval.py: symbols for what only Azure knows, functions of values, ids and scopes, functions of the surroundings.

Checked against outputs of the real engine (guid, uniqueString, format, items, lambdas, .bicepparam baselines).
"""

import base64, calendar, datetime, functools, ipaddress, json, re, urllib.parse, uuid

ARM_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


class EvalError(Exception):
    """A template or parameter error; the text starts with file:line once `at` is set."""

    at = None


class Unknown(Exception):
    """A function's outcome hangs on a symbol (a filter's predicate, say)."""


class Sym(str):
    """Text known only at deployment, in part or (whole) entirely: '<main/site.properties.x>', 'https://<main/site.properties.x>/api'."""

    whole = False


class Lambda(tuple):
    """(names, body, template, locals); takes as many of the given values as it has names."""

    def __call__(self, *values):
        return self[2].ev(self[1], {**self[3], **dict(zip(self[0], values))})


def sym(text):
    s = Sym(f"<{text}>")
    s.whole = True
    return s


def show(v):
    """A value as it reads inside a symbol. Objects of the evaluator (a resource, a module's outputs) have a `ref`."""
    if isinstance(v, Sym) and v.whole:
        return v[1:-1]
    if isinstance(v, str):
        return f"'{v}'"
    if isinstance(v, Lambda):
        return "lambda"
    if isinstance(v, list):
        return "[" + ", ".join(map(show, v)) + "]"
    if isinstance(v, dict):
        return "{" + ", ".join(f"{k}: {show(x)}" for k, x in v.items()) + "}"
    return v.ref if hasattr(v, "ref") else f"^{int(v)}" if isinstance(v, FromEnd) else json.dumps(v)


class FromEnd(int):
    """The n of array[^n]."""


def call_text(name, args):
    return f"{name}({', '.join(map(show, args))})"


def symbolic(v):
    """Does anything in this value wait for the deployment?"""
    if isinstance(v, (list, dict)):
        return any(map(symbolic, v.values() if isinstance(v, dict) else v))
    return isinstance(v, Sym)


def plain(v):
    """The value with the evaluator's own objects turned into symbols."""
    if isinstance(v, dict):
        return {str(k): plain(x) for k, x in v.items()}
    if isinstance(v, list):
        return [plain(x) for x in v]
    return sym(v.ref) if hasattr(v, "ref") else v


def to_json(v):
    return json.dumps(plain(v), separators=(",", ":"), ensure_ascii=False)


def fmt(v):
    """A value in a string, as ARM's format() writes it: True, not true; {'a':1}, not {"a":1}."""
    if isinstance(v, (list, dict)):
        return re.sub(
            r'"((?:[^"\\]|\\.)*)"', lambda m: "'" + m[1].replace('\\"', '"').replace("'", "\\'") + "'", to_json(v)
        )
    return "" if v is None else v if isinstance(v, str) else str(v)


def text(parts):
    """The parts joined: a Sym if one of them is symbolic; a single part as it is."""
    some = [p for p in parts if p != ""]
    if len(some) == 1 and isinstance(some[0], str):
        return some[0]
    joined = "".join(map(fmt, parts))
    return Sym(joined) if any(map(symbolic, parts)) else joined


def get(v, key, safe=False):
    """v.key or v[key]. Keys of objects match without regard to case, as in ARM."""
    if hasattr(v, "member"):
        return v.member(key, safe)
    if v is None and safe:
        return None
    if isinstance(v, Sym) or isinstance(key, Sym):
        return sym(
            f"{show(v)}.{key}"
            if isinstance(key, str) and not isinstance(key, Sym) and key.isidentifier()
            else f"{show(v)}[{show(key)}]"
        )
    if isinstance(v, dict) and isinstance(key, str):
        if key in v:
            return v[key]
        for k in v:
            if k.lower() == key.lower():
                return v[k]
        if not safe:
            raise EvalError(f"no property {key!r} in an object with {', '.join(v) or 'none'}")
        return None
    if isinstance(v, list) and isinstance(key, int):
        if v and getattr(v[0], "index", None) == "*":
            return v[0]
        if isinstance(key, FromEnd):
            key = len(v) - key
        if 0 <= key < len(v):
            return v[key]
        if not safe:
            raise EvalError(f"index {key} in an array of {len(v)}")
        return None
    raise EvalError(f"no {key!r} in {show(v)[:80]}")


# ---- comparing and choosing, where a symbol makes the outcome a symbol
def same(a, b):
    if isinstance(a, Sym) or isinstance(b, Sym):
        known = next((x for x in (a, b) if not isinstance(x, Sym)), "")
        if known is None and not (a or b).whole:
            return False  # some text of it is known, so it isn't null
        return True if isinstance(known, str) and str(a) == str(b) else sym(call_text("equals", (a, b)))
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def contains(where, what):
    def unknown():
        return sym(call_text("contains", (where, what)))

    if isinstance(where, Sym) or isinstance(what, Sym) and not isinstance(where, list):
        return unknown()
    if isinstance(where, dict):
        return fmt(what).lower() in map(str.lower, where)
    if isinstance(where, str):
        return fmt(what) in where
    hits = [same(x, what) for x in where]
    return True if True in hits else unknown() if any(isinstance(h, Sym) for h in hits) else False


def empty(v):
    if isinstance(v, Sym):
        return sym(call_text("empty", [v])) if v.whole else False
    return v is None or isinstance(v, (str, list, dict)) and not v


def coalesce(*args):
    for i, x in enumerate(args):
        if isinstance(x, Sym) and x.whole and i < len(args) - 1:
            return sym(call_text("coalesce", args[i:]))
        if x is not None:
            return x


def logic(op, a, b):
    """and / or of a value and a thunk."""
    if not isinstance(a, (bool, Sym)):
        raise EvalError(f"{show(a)[:80]} is not a bool")
    if a is (op == "or"):
        return a
    b = b()
    if not isinstance(b, (bool, Sym)):
        raise EvalError(f"{show(b)[:80]} is not a bool")
    if not isinstance(a, Sym) or b is (op == "or"):
        return b
    return sym(call_text(op, (a, b))) if isinstance(b, Sym) else a


def choose(condition, a, b):
    """condition ? a : b, of thunks; both are looked at where the condition is a symbol."""
    if isinstance(condition, bool):
        return (a if condition else b)()
    if not isinstance(condition, Sym):
        raise EvalError(f"{show(condition)[:80]} is not a bool")

    def tried(f):
        try:
            return plain(f())
        except EvalError:
            return sym("error")

    return sym(call_text("if", (condition, tried(a), tried(b))))


def decided(v):
    if isinstance(v, Sym):
        raise Unknown
    return v


# ---- arrays and objects
def unique(items):
    seen = {}
    for x in items:
        seen.setdefault(to_json(x), x)
    return list(seen.values())


def union(*args):
    """Arrays without doubles, or objects merged deeply."""
    if isinstance(args[0], list):
        return unique(x for a in args for x in a)
    out = {}
    for k, v in [item for a in args for item in a.items()]:
        k = next((x for x in out if x.lower() == k.lower()), k)
        out[k] = union(out[k], v) if isinstance(out.get(k), dict) and isinstance(v, dict) else v
    return out


def intersection(first, *rest):
    if isinstance(first, list):
        return [x for x in unique(first) if all(to_json(x) in map(to_json, r) for r in rest)]
    return {k: v for k, v in first.items() if all(k in r and to_json(r[k]) == to_json(v) for r in rest)}


def concat(*args):
    if all(isinstance(a, list) for a in args):
        return [x for a in args for x in a]
    return sym(call_text("concat", args)) if any(isinstance(a, list) for a in args) else text(args)


def sort(items, less):
    return sorted(
        items, key=functools.cmp_to_key(lambda a, b: -1 if decided(less(a, b)) else 1 if decided(less(b, a)) else 0)
    )


def group_by(items, key, value=lambda x: x):
    out = {}
    for x in items:
        out.setdefault(key(x), []).append(value(x))
    return out


def position(places, where, what):
    """indexOf and lastIndexOf: in text without regard to case."""
    if isinstance(where, str):
        return (where.lower().find if places == min else where.lower().rfind)(what.lower())
    return places([i for i, x in enumerate(where) if same(x, what) is True], default=-1)


def quotient(a, b):
    return a // b if (a < 0) == (b < 0) else -(-a // b)


def extreme(f):
    return lambda *a: f(a[0] if isinstance(a[0], list) else a)


# ---- text
def format_(template, *args):
    """.NET's composite format, as far as {0}, {0,5}, {0:D3}, {0:X2} and {0:N2}."""

    def one(m):
        if m[0] in ("{{", "}}"):
            return m[0][0]
        v, width, spec = args[int(m[1])], int(m[2] or 0), m[3] or ""
        if spec and not isinstance(v, Sym):
            size, kind = spec[1:], spec[0]
            v = format(v, {"d": f"0{size}d", "x": f"0{size}{kind}", "n": f",.{size or 2}f"}.get(kind.lower(), ""))
        return fmt(v).rjust(width) if width >= 0 else fmt(v).ljust(-width)

    if isinstance(template, Sym):
        return sym(call_text("format", (template, *args)))
    if template == "{0}" and isinstance(args[0], str):
        return args[0]
    s = re.sub(r"\{\{|\}\}|\{(\d+)(?:,(-?\d+))?(?::([^}]*))?\}", one, template)
    return Sym(s) if symbolic(list(args)) else s


def string(v):
    return (
        v
        if isinstance(v, str)
        else (Sym if symbolic(v) else str)(to_json(v) if isinstance(v, (list, dict)) else fmt(v))
    )


def substring(s, start, length=None):
    if not 0 <= start <= len(s) or start + (length or 0) > len(s):
        raise EvalError(f"substring({s!r}, {start}, {length}) is out of range")
    return s[start:] if length is None else s[start : start + length]


def split(s, by):
    return re.split("|".join(map(re.escape, [by] if isinstance(by, str) else by)), s)


def join(items, by=","):
    return text([p for i, x in enumerate(items) for p in ((by, x) if i else (x,))])


def b64(s):
    return base64.b64encode(s.encode()).decode()


def unb64(s):
    return base64.b64decode(s).decode()


def unique_string(*args):
    """ARM's uniqueString: a 64-bit murmur hash of the arguments joined with '-', in base 32."""
    data, full = "-".join(map(fmt, args)).encode(), 0xFFFFFFFF

    def turn(x, n):
        return (x << n | x >> 32 - n) & full

    def part(i, n):
        return int.from_bytes(data[i : i + n], "little")

    def first(k):
        return turn(k * 0x239B961B & full, 15) * 0xAB0E9789 & full

    def second(k):
        return turn(k * 0xAB0E9789 & full, 17) * 0x239B961B & full

    a = b = 0
    end = len(data) // 8 * 8
    for i in range(0, end, 8):
        a = ((turn(a ^ first(part(i, 4)), 19) + b) * 5 + 0x561CCD1B) & full
        b = ((turn(b ^ second(part(i + 4, 4)), 13) + a) * 5 + 0x0BCAA747) & full
    a ^= first(part(end, 4)) ^ len(data)
    b ^= second(part(end + 4, 4)) ^ len(data)

    def cross(a, b):
        a = (a + b) & full
        return a, (a + b) & full

    def mixed(h):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            h = (h ^ h >> shift) * factor & full
        return h

    a, b = cross(*map(mixed, cross(a, b)))
    n = b << 32 | a
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[n << 5 * i >> 59 & 31] for i in range(13))


# ---- dates and networks
def parse_date(s):
    for f in (
        "%Y-%m-%dT%H:%M:%S%z",
        "%Y%m%dT%H%M%S%z",
        "%Y-%m-%d %H:%M:%S%z",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d",
    ):
        try:
            d = datetime.datetime.strptime(re.sub(r"\.\d+", "", s), f)
        except ValueError:
            continue
        return d.astimezone(datetime.timezone.utc) if d.tzinfo else d.replace(tzinfo=datetime.timezone.utc)
    raise EvalError(f"{s!r} is not a date")


ISO = "yyyy-MM-ddTHH:mm:ssZ"
DATE_STYLES = {
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffZ",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssZ",
    "d": "MM/dd/yyyy",
}
DATE_PARTS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMMM": "%B",
    "MMM": "%b",
    "MM": "%m",
    "dddd": "%A",
    "ddd": "%a",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "tt": "%p",
}


def write_date(d, style):
    short = {"M": d.month, "d": d.day, "H": d.hour, "h": d.hour % 12 or 12, "m": d.minute, "s": d.second}

    def one(m):
        return (
            m[1]
            if m[1] is not None
            else str(short[m[0]])
            if m[0] in short
            else d.strftime(DATE_PARTS[m[0]])
            if m[0] in DATE_PARTS
            else "0" * len(m[0])
        )

    return re.sub(r"'([^']*)'|y{4}|yy|M{1,4}|d{1,4}|HH?|hh?|mm?|ss?|tt|f+", one, DATE_STYLES.get(style, style))


def date_add(base, duration, style=ISO):
    m = re.fullmatch(
        r"(-?)P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration
    )
    if not m:
        raise EvalError(f"{duration!r} is not an ISO 8601 duration")
    years, months, weeks, days, hours, minutes, seconds = [(-1 if m[1] else 1) * int(x or 0) for x in m.groups()[1:]]
    t = parse_date(base)
    year, month = divmod((t.year + years) * 12 + t.month - 1 + months, 12)
    t = t.replace(year=year, month=month + 1, day=min(t.day, calendar.monthrange(year, month + 1)[1]))
    return write_date(
        t + datetime.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds), style
    )


def network(s):
    return ipaddress.ip_network(s, strict=False)


def cidr_subnet(s, bits, n):
    net = network(s)
    return str(ipaddress.ip_network((int(net.network_address) + (n << net.max_prefixlen - bits), bits)))


def parse_cidr(s):
    net = network(s)
    inset = net.num_addresses > 2
    return {
        "network": str(net.network_address),
        "netmask": str(net.netmask),
        "broadcast": str(net.broadcast_address),
        "firstUsable": str(net.network_address + inset),
        "lastUsable": str(net.broadcast_address - inset),
        "cidr": net.prefixlen,
    }


FUNCTIONS = {
    "equals": same,
    "not": lambda a: not a,
    "greater": lambda a, b: a > b,
    "greaterOrEquals": lambda a, b: a >= b,
    "less": lambda a, b: a < b,
    "lessOrEquals": lambda a, b: a <= b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": quotient,
    "mod": lambda a, b: a - b * quotient(a, b),
    "any": lambda v: v,
    "int": int,
    "bool": lambda v: v.lower() in ("true", "1") if isinstance(v, str) else bool(v),
    "string": string,
    "json": json.loads,
    "array": lambda v: v if isinstance(v, list) else [v],
    "createArray": lambda *a: list(a),
    "createObject": lambda *a: dict(zip(a[::2], a[1::2])),
    "coalesce": coalesce,
    # text
    "format": format_,
    "concat": concat,
    "toLower": str.lower,
    "toUpper": str.upper,
    "trim": str.strip,
    "replace": str.replace,
    "substring": substring,
    "split": split,
    "join": join,
    "padLeft": lambda s, n, c=" ": fmt(s).rjust(n, c),
    "startsWith": lambda s, x: s.lower().startswith(x.lower()),
    "endsWith": lambda s, x: s.lower().endswith(x.lower()),
    "indexOf": functools.partial(position, min),
    "lastIndexOf": functools.partial(position, max),
    "guid": lambda *a: str(uuid.uuid5(ARM_NAMESPACE, "-".join(map(fmt, a)))),
    "uniqueString": unique_string,
    "base64": b64,
    "base64ToString": unb64,
    "base64ToJson": lambda s: json.loads(unb64(s)),
    "dataUri": lambda s: "data:text/plain;charset=utf8;base64," + b64(s),
    "dataUriToString": lambda s: unb64(s.partition(",")[2]),
    "uri": urllib.parse.urljoin,
    "uriComponent": lambda s: urllib.parse.quote(s, safe=""),
    "uriComponentToString": urllib.parse.unquote,
    # arrays and objects
    "length": len,
    "empty": empty,
    "contains": contains,
    "first": lambda v: v[0] if v else "" if v == "" else None,
    "last": lambda v: v[-1] if v else "" if v == "" else None,
    "take": lambda v, n: v[: max(n, 0)],
    "skip": lambda v, n: v[max(n, 0) :],
    "range": lambda a, n: list(range(a, a + n)),
    "union": union,
    "intersection": intersection,
    "flatten": lambda v: [y for x in v for y in x],
    "min": extreme(min),
    "max": extreme(max),
    "shallowMerge": lambda v: {k: x for o in v for k, x in (o or {}).items()},
    "items": lambda v: [{"key": k, "value": v[k]} for k in sorted(v, key=str.lower)],
    "objectKeys": lambda v: sorted(v, key=str.lower),
    "tryGet": lambda v, *keys: functools.reduce(lambda x, k: get(x, k, True), keys, v),
    # lambdas
    "map": lambda v, f: [f(x, i) for i, x in enumerate(v)],
    "filter": lambda v, f: [x for i, x in enumerate(v) if decided(f(x, i))],
    "sort": sort,
    "groupBy": group_by,
    "reduce": lambda v, start, f: functools.reduce(lambda a, x: f(a, x[1], x[0]), enumerate(v), start),
    "mapValues": lambda v, f: {k: f(x) for k, x in v.items()},
    "toObject": lambda v, key, value=lambda x: x: {key(x): value(x) for x in v},
    # dates and networks
    "dateTimeAdd": date_add,
    "dateTimeToEpoch": lambda s: int(parse_date(s).timestamp()),
    "dateTimeFromEpoch": lambda n: write_date(datetime.datetime.fromtimestamp(n, datetime.timezone.utc), ISO),
    "cidrSubnet": cidr_subnet,
    "cidrHost": lambda s, n: str(network(s).network_address + n + 1),
    "parseCidr": parse_cidr,
}
OPEN = {
    "equals",
    "format",
    "concat",
    "string",
    "array",
    "any",
    "empty",
    "contains",
    "createArray",
    "createObject",
    "coalesce",
    "tryGet",
}  # these take symbols
DEEP = {"guid", "uniqueString", "shallowMerge", "flatten", "min", "max"}  # these look into arrays
RUNTIME = {
    "pickZones",
    "toLogicalZone",
    "toLogicalZones",
    "toPhysicalZone",
    "toPhysicalZones",
    "providers",
    "externalInput",
    "getSecret",
    "loadYamlContent",
}


def apply(name, args):
    """Call a function of values; with a symbol among the arguments the result is a symbol too."""
    args = [sym(a.ref) if hasattr(a, "ref") else a for a in args]
    looked_at = args + [x for a in args if isinstance(a, list) for x in a] if name in DEEP else args
    if name in RUNTIME or name not in OPEN and any(isinstance(a, Sym) for a in looked_at):
        return sym(call_text(name, args))
    try:
        return FUNCTIONS[name](*args)
    except Unknown:
        return sym(call_text(name, args))
    except (TypeError, ValueError, IndexError, AttributeError, KeyError, ArithmeticError) as e:
        raise EvalError(f"{call_text(name, args)[:150]}: {e}") from e


# ---- ids and scopes (a scope is an id; the tenant's is '')
def segments(name):
    """Split at slashes, but not inside <symbols>."""
    out, depth = [""], 0
    for c in name:
        depth += (c == "<") - (c == ">")
        if c == "/" and depth <= 0:
            out.append("")
        else:
            out[-1] += c
    return out


def after(scope, word):
    """The segment that follows a word: after(scope, 'subscriptions')."""
    parts = segments(scope)
    low = [p.lower() for p in parts]
    return parts[low.index(word.lower()) + 1] if word.lower() in low[:-1] else None


def kind_of(scope):
    low = [p.lower() for p in segments(scope)][1:]
    return {
        0: "tenant",
        2: "subscription",
        4: "resourceGroup" if low[:1] == ["subscriptions"] else "managementGroup",
    }.get(len(low), "resource")


def make_id(scope, type_, names):
    low = type_.lower()
    space, *types = type_.split("/")
    if low == "microsoft.resources/subscriptions":
        return text(["/subscriptions/", names[-1]])
    if low == GROUPS:
        return text(["/subscriptions/", after(scope, "subscriptions") or "", "/resourceGroups/", names[-1]])
    if low == "microsoft.management/managementgroups":
        scope = ""
    if len(types) != len(names):
        raise EvalError(f"{type_} wants a name of {len(types)} segments, given {'/'.join(names)!r}")
    return text([scope, "/providers/", space] + [x for t, n in zip(types, names) for x in ("/", t, "/", n)])


GROUPS, DEPLOYMENTS = "microsoft.resources/resourcegroups", "Microsoft.Resources/deployments"
LOGIN, MANAGEMENT = "https://login.microsoftonline.com/", "https://management.azure.com/"
CLOUD = {
    "name": "AzureCloud",
    "gallery": "https://gallery.azure.com/",
    "graph": "https://graph.windows.net/",
    "portal": "https://portal.azure.com",
    "resourceManager": MANAGEMENT,
    "graphAudience": "https://graph.windows.net/",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "batch": "https://batch.core.windows.net/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "authentication": {
        "loginEndpoint": LOGIN,
        "audiences": ["https://management.core.windows.net/", MANAGEMENT],
        "tenant": "common",
        "identityProvider": "AAD",
    },
    "suffixes": {
        "acrLoginServer": ".azurecr.io",
        "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
        "azureFrontDoorEndpointSuffix": "azurefd.net",
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}


class Context:
    """What one evaluation shares: the surroundings, and the errors met."""

    def __init__(
        self,
        subscription="00000000-0000-0000-0000-000000000000",
        tenant="11111111-1111-1111-1111-111111111111",
        resource_group="rg",
        management_group="mg",
        location="westeurope",
        deployment=None,
        now="2026-01-01T00:00:00Z",
        cloud=CLOUD,
        registry=None,
    ):
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})
        self.errors = []

    def root(self, target):
        return {
            "tenant": "",
            "managementGroup": f"/providers/Microsoft.Management/managementGroups/{self.management_group}",
            "subscription": f"/subscriptions/{self.subscription}",
        }.get(target, f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}")


class Surroundings:
    """The functions whose answer depends on where a template is deployed: f_<name>. Needs .ctx .scope .group (body of a declared group) .deployment_name."""

    def sub(self):
        return after(self.scope, "subscriptions") or self.ctx.subscription

    def f_subscription(self, id_=None):
        if id_ is None:
            id_ = self.sub()
        return {
            "id": text(["/subscriptions/", id_]),
            "subscriptionId": id_,
            "tenantId": self.ctx.tenant,
            "displayName": "subscription",
        }

    def f_resourceGroup(self, *args):
        """resourceGroup(), resourceGroup(name), resourceGroup(subscriptionId, name)"""
        sub, name = args[0] if len(args) > 1 else self.sub(), args[-1] if args else after(self.scope, "resourceGroups")
        if name is None:
            raise EvalError("resourceGroup() outside the scope of a resource group")
        given = self.group if not args and self.group else {}
        return {
            "id": text(["/subscriptions/", sub, "/resourceGroups/", name]),
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": given.get("location", self.ctx.location),
            "tags": given.get("tags") or {},
            "managedBy": None,
            "properties": {"provisioningState": "Succeeded"},
        }

    def f_managementGroup(self, name=None):
        if name is None:
            name = after(self.scope, "managementGroups") or self.ctx.management_group
        return {
            "id": text(["/providers/Microsoft.Management/managementGroups/", name]),
            "name": name,
            "type": "/providers/Microsoft.Management/managementGroups",
            "properties": {
                "displayName": name,
                "tenantId": self.ctx.tenant,
                "details": sym("managementGroup().properties.details"),
            },
        }

    def f_tenant(self):
        return {
            "id": f"/tenants/{self.ctx.tenant}",
            "tenantId": self.ctx.tenant,
            "countryCode": "US",
            "displayName": "tenant",
        }

    def f_deployment(self):
        return {
            "name": self.deployment_name,
            "id": make_id(self.scope, DEPLOYMENTS, [self.deployment_name]),
            "type": DEPLOYMENTS,
            "location": self.ctx.location,
            "properties": sym("deployment().properties"),
        }

    def f_deployer(self):
        return {
            "objectId": sym("deployer().objectId"),
            "tenantId": self.ctx.tenant,
            "userPrincipalName": sym("deployer().userPrincipalName"),
        }

    def f_environment(self):
        return self.ctx.cloud

    def f_utcNow(self, style="yyyyMMddTHHmmssZ"):
        return write_date(parse_date(self.ctx.now), style)

    def f_newGuid(self):
        return str(uuid.uuid5(ARM_NAMESPACE, f"newGuid {self.deployment_name}"))

    def f_reference(self, id_, version=None, full=""):
        return sym(fmt(id_) + ("" if full.lower() == "full" else ".properties"))

    def f_fail(self, message):
        raise EvalError(f"fail: {message}")

    def f_resourceId(self, *args):
        return self.typed_id(
            args,
            lambda a: (
                text(["/subscriptions/", a[0] if len(a) > 1 else self.sub(), "/resourceGroups/", a[-1]])
                if a
                else self.scope
            ),
        )

    def f_subscriptionResourceId(self, *args):
        return self.typed_id(args, lambda a: text(["/subscriptions/", a[0] if a else self.sub()]))

    def f_managementGroupResourceId(self, *args):
        return self.typed_id(args, lambda a: self.f_managementGroup(*a)["id"])

    def f_tenantResourceId(self, *args):
        return self.typed_id(args, lambda a: "")

    def f_extensionResourceId(self, base, *args):
        return self.typed_id(args, lambda a: base)

    def typed_id(self, args, scope):
        for i, a in enumerate(args):
            if isinstance(a, str) and not isinstance(a, Sym) and a.count("/") == len(args) - i - 1 > 0:
                return make_id(scope(args[:i]), a, args[i + 1 :])
        raise EvalError(f"the type and the names of {call_text('resourceId', args)} do not match")
