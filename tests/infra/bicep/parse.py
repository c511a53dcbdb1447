"""A recursive-descent parser for current Bicep (files and .bicepparam).

AST = tuples: ('str',[parts]) ('num',n) ('bool',b) ('null',) ('obj',[(key|None,value,pos)]) ('arr',[..]) ('id',n) ('dot',e,n,safe)
('idx',e,i,safe), where i may be ('fromend',n), ('nest',e,n) ('call',e,[..]) ('lambda',[names],e) ('if',c,a,b) ('bin',op,a,b) ('un',op,e) ('for',[names],src,body)
('cond',c,e) ('spread',e) ('nonnull',e).  parse(text) -> list of ('param'|'var'|'resource'|..., dict).
"""

import re

TOK = re.compile(
    r"""(?P<ws>[ \t]+|//[^\r\n]*|/\*.*?\*/|\#[^\r\n]*)|(?P<nl>(\r?\n)+)|(?P<ml>\$*''')|(?P<q>')|(?P<num>\d+)|(?P<id>[A-Za-z_]\w*)
|(?P<op>\.\.\.|=>|\?\?|\|\||&&|==|!=|=~|!~|<=|>=|::|[-+*/%<>!?:.,=()\[\]{}|@^])""",
    re.X | re.S,
)
BIN = [["??"], ["||"], ["&&"], ["==", "!=", "=~", "!~"], ["<", ">", "<=", ">="], ["+", "-"], ["*", "/", "%"]]
GAP1 = r"(?:\s|//[^\n]*\n|\#[^\n]*\n|/\*.*?\*/)"
LAMBDA = re.compile(rf"\({GAP1}*(\w+(?:{GAP1}*,{GAP1}*\w+)*)?{GAP1}*\){GAP1}*=>", re.S)
ESC = {"n": "\n", "r": "\r", "t": "\t", "'": "'", "\\": "\\", "$": "$"}


class BicepError(Exception):
    pass


class P:
    def __init__(self, s):
        self.s, self.i, self.depth = s, 0, 0
        self.next()

    def fail(self, msg):
        ln = self.s.count("\n", 0, self.p) + 1
        raise BicepError(f"{ln}:{self.p - self.s.rfind(chr(10), 0, self.p)}: {msg}, found {self.v!r}")

    def next(self):
        while True:
            self.p = self.i
            if self.i >= len(self.s):
                self.k, self.v = "eof", ""
                return
            m = TOK.match(self.s, self.i)
            if not m:
                self.k, self.v = "?", self.s[self.i]
                self.fail("unknown character")
            k = m.lastgroup
            self.i = m.end()
            if k == "ws" or (k == "nl" and self.depth):
                continue
            if m.group("nl"):
                k = "nl"
            self.k, self.v = k, m.group()
            return

    def isop(self, *o):
        return self.k == "op" and self.v in o

    def isid(self, *o):
        return self.k == "id" and self.v in o

    def take(self, *o):
        if self.isop(*o):
            v = self.v
            self.next()
            return v

    def need(self, o):
        if not self.isop(o):
            self.fail(f"wanted {o!r}")
        self.next()

    def name(self):
        if self.k != "id":
            self.fail("wanted a name")
        v = self.v
        self.next()
        return v

    def nls(self):
        while self.k == "nl":
            self.next()

    def inside(self, open_, close, item, newline_sep):
        """Items between brackets; newlines (and commas) separate."""
        saved, self.depth = self.depth, 0
        self.need(open_)
        out = []
        self.nls()
        while not self.isop(close):
            out.append(item())
            if self.isop(","):
                self.next()
            elif self.k != "nl" and not self.isop(close):
                self.fail(f"wanted ',' a new line or {close!r}")
            self.nls()
        self.depth = saved
        self.next()
        return out

    # strings
    def string(self):
        s = self.s
        i = self.p
        parts = []
        buf = ""
        if self.k == "ml":
            d = self.v.count("$")
            i += len(self.v)
            if s[i : i + 1] == "\r":
                i += 1
            if s[i : i + 1] == "\n":
                i += 1
            while not s.startswith("'''", i) or s[i + 3 : i + 4] == "'":
                if i >= len(s):
                    self.fail("unterminated string")
                if d and s.startswith("$" * d + "{", i):
                    parts.append(buf)
                    buf = ""
                    saved = self.depth
                    self.depth = 1
                    self.i = i + d + 1
                    self.next()
                    parts.append(self.expr())
                    if not self.isop("}"):
                        self.fail("wanted '}' in interpolation")
                    i = self.p + 1
                    self.depth = saved
                else:
                    buf += s[i]
                    i += 1
            parts.append(buf)
            self.i = i + 3
            self.next()
            return ("str", parts)
        i += 1
        while True:
            c = s[i : i + 1]
            if c == "" or c == "\n":
                self.fail("unterminated string")
            if c == "'":
                break
            if c == "\\":
                n = s[i + 1]
                if n == "u":
                    j = s.index("}", i)
                    buf += chr(int(s[i + 3 : j], 16))
                    i = j + 1
                    continue
                if n not in ESC:
                    self.fail(f"bad escape \\{n}")
                buf += ESC[n]
                i += 2
            elif c == "$" and s[i + 1 : i + 2] == "{":
                parts.append(buf)
                buf = ""
                saved = self.depth
                self.depth = 1
                self.i = i + 2
                self.next()
                parts.append(self.expr())
                if not self.isop("}"):
                    self.fail("wanted '}' in interpolation")
                i = self.p + 1
                self.depth = saved
            else:
                buf += c
                i += 1
        parts.append(buf)
        self.i = i + 1
        self.next()
        return ("str", parts)

    # expressions
    def expr(self):
        c = self.binary(0)
        save = (self.p, self.i, self.k, self.v)
        self.nls()
        if self.isop("?"):
            self.next()
            self.nls()
            a = self.expr()
            self.nls()
            self.need(":")
            self.nls()
            return ("if", c, a, self.expr())
        self.p, self.i, self.k, self.v = save
        return c

    def binary(self, lvl):
        if lvl == len(BIN):
            return self.unary()
        a = self.binary(lvl + 1)
        while True:
            save = (self.p, self.i, self.k, self.v)
            self.nls()
            if not self.isop(*BIN[lvl]):
                self.p, self.i, self.k, self.v = save
                return a
            op = self.v
            self.next()
            self.nls()
            a = ("bin", op, a, self.binary(lvl + 1))

    def unary(self):
        for op in "!-+":
            if self.isop(op):
                self.next()
                return ("un", op, self.unary())
        return self.postfix(self.primary())

    def args(self):
        saved, self.depth = self.depth, 1
        self.need("(")
        out = []
        while not self.isop(")"):
            out.append(self.expr())
            if not self.isop(")"):
                self.need(",")
        self.depth = saved
        self.next()
        return out

    def postfix(self, e):
        while True:
            if self.isop("."):
                self.next()
                safe = bool(self.take("?"))
                n = self.name()
                e = ("dot", e, n, safe)
                if self.isop("("):
                    e = ("call", e, self.args())
            elif self.isop("::"):
                self.next()
                e = ("nest", e, self.name())
            elif self.isop("["):
                saved, self.depth = self.depth, 1
                self.next()
                safe = bool(self.take("?"))
                end = self.take("^")
                i = self.expr()
                i = ("fromend", i) if end else i
                self.need_close(saved)
                e = ("idx", e, i, safe)
            elif self.isop("!"):
                self.next()
                e = ("nonnull", e)
            else:
                return e

    def need_close(self, saved):
        if not self.isop("]"):
            self.fail("wanted ']'")
        self.depth = saved
        self.next()

    def primary(self):
        if self.k in ("q", "ml"):
            return self.string()
        if self.k == "num":
            v = int(self.v)
            self.next()
            return ("num", v)
        if self.isop("{"):
            return ("obj", self.inside("{", "}", self.member, True))
        if self.isop("["):
            return self.array()
        if self.isop("("):
            return self.paren()
        if self.k == "id":
            n = self.v
            self.next()
            if n in ("true", "false"):
                return ("bool", n == "true")
            if n == "null":
                return ("null",)
            if self.isop("=>"):
                self.next()
                self.nls()
                return ("lambda", [n], self.expr())
            if self.isop("("):
                return ("call", ("id", n), self.args())
            return ("id", n)
        self.fail("wanted an expression")

    def paren(self):
        m = LAMBDA.match(self.s, self.p)
        if m:
            self.i = m.end()
            self.next()
            self.nls()
            return ("lambda", re.findall(r"\w+", re.sub(GAP1, " ", m[1] or "", flags=re.S)), self.expr())
        saved, self.depth = self.depth, 1
        self.next()
        e = self.expr()
        if not self.isop(")"):
            self.fail("wanted ')'")
        self.depth = saved
        self.next()
        return e

    def array(self):
        if re.compile(rf"\[{GAP1}*for\b", re.S).match(self.s, self.p):
            return self.loop()
        return (
            "arr",
            self.inside(
                "[", "]", lambda: ("spread", (self.next(), self.expr())[1]) if self.isop("...") else self.expr(), True
            ),
        )

    def loop(self):
        saved, self.depth = self.depth, 0
        self.need("[")
        self.nls()
        self.name()
        if self.isop("("):
            self.next()
            names = [self.name()]
            self.need(",")
            names.append(self.name())
            self.need(")")
        else:
            names = [self.name()]
        if not self.isid("in"):
            self.fail("wanted 'in'")
        self.next()
        src = self.expr()
        self.need(":")
        self.nls()
        body = self.condition() if self.isid("if") else self.expr()
        self.nls()
        self.need_close(saved)
        return ("for", names, src, body)

    def condition(self):
        self.next()
        c = self.paren()
        self.nls()
        return ("cond", c, self.expr())

    def member(self):
        decs = self.decorators()
        pos = self.p
        if self.isop("..."):
            self.next()
            return (None, ("spread", self.expr()), pos)
        if self.isid("resource") and re.compile(r"resource\s+\w+\s*'").match(self.s, self.p):
            return (None, self.statement(decs), pos)
        k = self.string() if self.k in ("q", "ml") else self.name()
        self.need(":")
        self.nls()
        return (k, self.expr(), pos)

    # types
    def type_(self):
        if self.k == "nl" and re.compile(r"\s*\|").match(self.s, self.i):
            self.nls()
        self.take("|")
        t = [self.type_one()]
        while True:
            save = (self.p, self.i, self.k, self.v)
            self.nls()
            if not self.isop("|"):
                self.p, self.i, self.k, self.v = save
                break
            self.next()
            self.nls()
            t.append(self.type_one())
        return t[0] if len(t) == 1 else ("union", t)

    def type_one(self):
        if self.isop("{"):
            t = ("tobj", self.inside("{", "}", self.type_member, True))
        elif self.isop("["):
            t = ("tuple", self.inside("[", "]", lambda: (self.decorators(), self.type_())[1], True))
        elif self.isop("("):
            saved, self.depth = self.depth, 1
            self.next()
            t = self.type_()
            self.depth = saved
            self.need(")")
        elif self.k in ("q", "ml"):
            t = self.string()
        elif self.k == "num":
            t = ("num", int(self.v))
            self.next()
        elif self.isop("!"):
            self.next()
            t = ("not", self.type_one())
        elif self.isop("-"):
            self.next()
            t = ("num", -int(self.v))
            self.next()
        else:
            t = ("tid", self.name())
        while True:
            if self.isop("<"):
                self.next()
                self.nls()
                t = ("generic", t, self.type_())
                self.nls()
                self.need(">")
            elif self.isop("["):
                self.next()
                n = self.take("*")
                t = ("tarr", t)
                if not n and self.k == "num":
                    self.next()
                self.need("]")
            elif self.isop("."):
                self.next()
                t = ("tdot", t, self.take("*") or self.name())
            elif self.isop("?", "!"):
                t = ("opt", t, self.v)
                self.next()
            else:
                return t

    def type_member(self):
        self.decorators()
        if self.isop("..."):
            self.next()
            return ("spread", self.type_())
        k = "*" if self.take("*") else self.string() if self.k == "q" else self.name()
        self.need(":")
        return (k, self.type_())

    # statements
    def decorators(self):
        out = []
        while self.isop("@"):
            self.next()
            out.append(self.postfix(self.primary()))
            self.nls()
        return out

    def statement(self, decs=None):
        decs = (decs or []) + self.decorators()
        pos = self.p
        kw = self.name()
        d = {"decorators": decs, "pos": pos}
        if kw == "targetScope":
            self.need("=")
            d["value"] = self.expr()
        elif kw in ("metadata", "assert"):
            d["name"] = self.name()
            self.need("=")
            d["value"] = self.expr()
        elif kw in ("using", "extends"):
            d["path"] = self.name() if self.k == "id" else self.string()
            if self.isid("with"):
                self.next()
                d["with"] = self.expr()
        elif kw == "param":
            d["name"] = self.name()
            if (
                not self.isop("=")
                and self.k != "eof"
                and (self.k != "nl" or re.compile(r"\s*\|").match(self.s, self.i))
            ):
                d["type"] = self.type_()
            if self.take("="):
                self.nls()
                d["value"] = self.expr()
        elif kw in ("var", "output"):
            d["name"] = self.name()
            if not self.isop("="):
                if self.isid("resource"):
                    self.next()
                    d["type"] = self.string()
                else:
                    d["type"] = self.type_()
            self.need("=")
            self.nls()
            d["value"] = self.expr()
        elif kw == "type":
            d["name"] = self.name()
            self.need("=")
            self.nls()
            d["type"] = self.type_()
        elif kw == "func":
            d["name"] = self.name()
            self.depth = 1
            self.need("(")
            d["args"] = []
            while not self.isop(")"):
                d["args"].append((self.name(), self.type_()))
                if not self.isop(")"):
                    self.need(",")
            self.depth = 0
            self.next()
            d["type"] = self.type_()
            self.need("=>")
            self.nls()
            d["value"] = self.expr()
        elif kw == "import":
            d["symbols"] = (
                "*"
                if self.take("*")
                else self.inside(
                    "{",
                    "}",
                    lambda: (
                        "".join(self.string()[1]) if self.k == "q" else self.name(),
                        (self.next(), self.name())[1] if self.isid("as") else None,
                    ),
                    True,
                )
            )
            if self.isid("as"):
                self.next()
                d["as"] = self.name()
            self.name()
            d["path"] = self.string()
        elif kw == "extensionConfig":
            d["name"] = self.name()
            self.name()
            d["value"] = self.expr()
        elif kw in ("extension", "provider"):
            d["name"] = self.name() if self.k == "id" else self.string()
            while self.isid("with", "as"):
                k = self.name()
                d[k] = self.expr()
        elif kw in ("resource", "module", "test"):
            d["name"] = self.name()
            d["type"] = self.string()
            if self.isid("existing"):
                self.next()
                d["existing"] = True
            self.need("=")
            self.nls()
            d["value"] = self.condition() if self.isid("if") else self.expr()
        else:
            self.p = pos
            self.v = kw
            self.fail("unknown statement")
        return (kw, d)


def parse(text):
    p = P(text.lstrip("\ufeff"))
    out = []
    p.nls()
    while p.k != "eof":
        out.append(p.statement())
        if p.k not in ("nl", "eof"):
            p.fail("wanted the end of the line")
        p.nls()
    return out


if __name__ == "__main__":
    import glob, sys, time

    fs = [f for d in sys.argv[1:] for e in ("bicep", "bicepparam") for f in glob.glob(d + f"/**/*.{e}", recursive=True)]
    ok = 0
    bad = []
    t = time.time()
    for f in fs:
        try:
            parse(open(f, encoding="utf-8").read())
            ok += 1
        except (BicepError, ValueError, RecursionError, IndexError) as e:
            bad.append((f, str(e)[:150]))
    print(f"own parser: {ok} of {len(fs)} in {time.time() - t:.1f} s")
    for b in bad[:25]:
        print(*b)
