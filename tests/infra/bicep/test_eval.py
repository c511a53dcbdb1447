"""Tests of eval.py and functions.py; run with pytest or as a script."""

import json, os, subprocess, sys, tempfile
from tests.infra.bicep.eval import Sym, EvalError, evaluate, read_params

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def bicep(main, params=None, strict=True, files=None, **kw):
    with tempfile.TemporaryDirectory() as d:
        for name, text in {"main.bicep": main, **(files or {})}.items():
            os.makedirs(os.path.dirname(os.path.join(d, name)), exist_ok=True)
            with open(os.path.join(d, name), "w") as f:
                f.write(text)
        return evaluate(
            os.path.join(d, "main.bicep"), os.path.join(d, params) if isinstance(params, str) else params, strict, **kw
        )


def value(expression, before="", **kw):
    return bicep(f"{before}\noutput x object = {expression}", **kw).outputs["x"]


def refused(main, params=None, **kw):
    try:
        bicep(main, params, **kw)
    except EvalError as e:
        return str(e)
    raise AssertionError("no error")


def test_functions():
    for expression, want in {
        # known answers of the real engine
        "guid('asdf')": "228d27cc-6fdb-5934-b7ac-1efccebade04",
        "uniqueString('asd', 'asdf', 'asdf')": "iizpqit7ih3cc",
        "uniqueString('/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/myRg')": "js26ofeqkqeve",
        # what its outputs show of booleans and objects in text, dates, indexes in lambdas, case
        "'${true} ${{k: [1, 'x']}}'": "True {'k':[1,'x']}",
        "dateTimeAdd('2024-02-28T10:00:00Z', 'P2D')": "2024-03-01T10:00:00Z",
        "padLeft(42, 4)": "  42",
        "toObject([110, 220], n => '${n / 100}')": {"1": 110, "2": 220},
        "sort([5, 1, -2], (x, y) => x < y)": [-2, 1, 5],
        "map(items({b: 1, a: 2}), i => i.key)": ["a", "b"],
        "indexOf('ABCDEF', 'def')": 3,
        "contains('ABCDEF', 'def')": False,
        "groupBy([{t: 'a', v: 1}, {t: 'b', v: 2}, {t: 'a', v: 3}], x => x.t, x => x.v)": {"a": [1, 3], "b": [2]},
        "map(['x', 'y'], (v, i) => '${v}${i}')": ["x0", "y1"],
        "reduce(['p', 'q', 'r'], '', (sum, v, i) => i == 1 ? sum : '${sum}${v}')": "pr",
        # the documentation
        "cidrSubnet('10.144.0.0/20', 24, 1)": "10.144.1.0/24",
        "cidrHost('10.144.3.0/24', 0)": "10.144.3.1",
        "parseCidr('10.144.0.0/20').lastUsable": "10.144.15.254",
        "union({a: {b: 1, c: [1]}}, {a: {c: [2]}})": {"a": {"b": 1, "c": [2]}},
        "union([1, 2], [2, 3])": [1, 2, 3],
        "intersection([1, 2, 3], [3, 2])": [2, 3],
        "split('a,b;c', [',', ';'])": ["a", "b", "c"],
        "substring('abcdef', 1, 3)": "bcd",
        "take('abc', 9)": "abc",
        "skip([1, 2, 3], 2)": [3],
        "last('abc')": "c",
        "first([])": None,
        "format('{0:D3}-{1}', 7, true)": "007-True",
        "string(true)": "True",
        "string({a: 1})": '{"a":1}',
        "int('5')": 5,
        "bool('true')": True,
        "json('null')": None,
        "json('{\"a\": 1.5}')": {"a": 1.5},
        "base64('abc')": "YWJj",
        "uri('http://contoso.org/firstpath', 'x.sh')": "http://contoso.org/x.sh",
        "uriComponent('a b/ü')": "a%20b%2F%C3%BC",
        "join(['a', 'b'], '; ')": "a; b",
        "flatten([[1, 2], [3]])": [1, 2, 3],
        "filter([1, 2, 3], x => x > 1)": [2, 3],
        "mapValues({a: 1}, x => x + 1)": {"a": 2},
        "shallowMerge([{a: 1}, {a: 2}])": {"a": 2},
        "range(3, 2)": [3, 4],
        "max(1, 7)": 7,
        "min([4, 2])": 2,
        "7 / 2": 3,
        "-7 / 2": -3,
        "-7 % 2": -1,
        "'a' =~ 'A'": True,
        "1 == 1 && !false || false": True,
        "null ?? 'x'": "x",
        "[1, ...[2, 3]]": [1, 2, 3],
        "{a: 1, ...{a: 2}}": {"a": 2},
        "[for (x, i) in ['a', 'b']: '${x}${i}']": ["a0", "b1"],
        "['a', 'b'][^1]": "b",
        "{a: null}.?a.?b.c": None,
        "{Key: 1}.key": 1,
        "toLower('ÄB')": "äb",
        "dateTimeAdd('2024-01-31T00:00:00Z', 'P1M', 'yyyy-MM-dd')": "2024-02-29",
        "resourceId('Microsoft.Web/sites/config', 's', 'c')": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Web/sites/s/config/c",
        "environment().suffixes.storage": "core.windows.net",
        "utcNow('yyyy-MM-01')": "2026-01-01",
        "empty({})": True,
        "length('abc')": 3,
        "startsWith('ABC', 'ab')": True,
        "tryGet({a: 1}, 'b')": None,
    }.items():
        got = value(expression)
        assert got == want and type(got) is type(want), (expression, got, want)


RESOURCES = """
param name string
param on bool = true
resource st 'Microsoft.Storage/storageAccounts@2025-06-01' = if (on) {
  name: name
  properties: { allowSharedKeyAccess: false }
  resource blobs 'blobServices' = {
    name: 'default'
    resource box 'containers' = [for c in ['a', 'b']: { name: c, properties: { url: st.properties.primaryEndpoints.blob } }]
  }
}
resource role 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(st.id, 'x')
  scope: st
  properties: { principalId: id.properties.principalId, text: 'Client=${id.properties.clientId}', low: toLower(id.properties.clientId) }
}
resource id 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = { name: 'id', scope: resourceGroup('other') }
output box string = st::blobs::box[1].id
"""


def test_resources():
    d = bicep(RESOURCES, {"name": "acc"})
    assert [r.label for r in d] == [
        "main/st",
        "main/st::blobs",
        "main/st::blobs::box[0]",
        "main/st::blobs::box[1]",
        "main/role",
    ]
    box = d[3]
    assert (box.type, box.api_version, box.name, box.parent) == (
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "2025-06-01",
        "acc/default/b",
        "main/st::blobs",
    )
    assert d.outputs["box"] == box.id == d[0].id + "/blobServices/default/containers/b"
    assert box.body == {"properties": {"url": "<main/st.properties.primaryEndpoints.blob>"}}
    role = d.of("Microsoft.Authorization/roleAssignments")[0]
    assert (
        role.id == f"{d[0].id}/providers/Microsoft.Authorization/roleAssignments/{role.name}"
        and role.depends_on == ["main/st"]
    )
    assert role.body["properties"] == {
        "principalId": "<main/id.properties.principalId>",
        "text": "Client=<main/id.properties.clientId>",
        "low": "<toLower(main/id.properties.clientId)>",
    }
    assert (
        isinstance(role.get("properties.text"), Sym)
        and d[0].get("properties.allowSharedKeyAccess") is False
        and d[0].get("properties.no.0") is None
    )
    assert d.existing[0].id.endswith(
        "/resourceGroups/other/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
    )


def test_conditions_reach_nested_resources():
    d = bicep(RESOURCES, {"name": "acc", "on": False})
    assert [r.label for r in d] == ["main/role"] and [r.symbol for r in d.skipped] == [
        "st",
        "st::blobs",
        "st::blobs::box[0]",
        "st::blobs::box[1]",
    ]
    assert d.skipped[3].get("properties.url") == "<not deployed: main/st.properties.primaryEndpoints.blob>"


def test_modules_and_scopes():
    main = """
targetScope = 'subscription'
param withB bool = false
resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = { name: 'rg-x', location: 'northeurope' }
module a 'm/a.bicep' = { scope: group, params: { n: 'one' } }
module b 'm/a.bicep' = [for n in ['x', 'y']: if (withB) { name: 'b-${n}', scope: resourceGroup('z'), params: { n: n } }]
output id string = a.outputs.id
output run string = a.outputs.principal
output maybe string = withB ? b[0]!.outputs.id : 'none'
output safe string = b[0].?outputs.id ?? 'nothing'
"""
    files = {
        "m/a.bicep": "param n string\nresource i 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = { name: n, location: resourceGroup().location }\noutput id string = i.id\noutput principal string = i.properties.principalId"
    }
    d = bicep(main, files=files)
    assert [r.label for r in d] == ["main/group", "main/a/i"] and d[1].body == {"location": "northeurope"}
    assert (
        d.outputs == {"id": d[1].id, "run": "<main/a/i.properties.principalId>", "maybe": "none", "safe": "nothing"}
        and "/resourceGroups/rg-x/" in d[1].id
    )
    assert (
        d.modules[0].name.startswith("a-")
        and len(d.modules[0].name) == 15
        and [m.label for m in d.skipped] == ["main/b[0]", "main/b[1]"]
    )
    d = bicep(main, {"withB": True}, files=files)
    assert (
        [r.label for r in d][2:] == ["main/b[0]/i", "main/b[1]/i"]
        and d.outputs["maybe"] == d[2].id
        and d.modules[1].name == "b-x"
    )
    assert "wants the scope of a resourceGroup" in refused(
        "targetScope = 'subscription'\nmodule a 'm/a.bicep' = { params: { n: 'one' } }", files=files
    )
    d = bicep("module a 'br/public:avm/res/x/y:1.0.0' = { params: { n: 'one' } }\noutput o string = a.outputs.z.w")
    assert d.modules[0].opaque and d.outputs == {"o": "<main/a.outputs.z.w>"}


def test_parameters():
    main = "@allowed(['a', 'b'])\nparam p string\n@minValue(3)\nparam n int = 3\n@maxLength(2)\nparam s string?\nparam t 'x' | 'y' = 'x'\ntype o = { k: string, m: int? }\nparam u o = { k: 'v' }\nparam l string[] = []"
    assert bicep(main, {"p": "a", "n": None}).params == {
        "p": "a",
        "n": 3,
        "s": None,
        "t": "x",
        "u": {"k": "v"},
        "l": [],
    }
    for params, message in (
        ({}, "main.bicep:2: main: parameter p is missing"),
        ({"p": "c"}, "'c' is not one of ['a', 'b']"),
        ({"p": "a", "n": 2}, "breaks minValue 3"),
        ({"p": "a", "s": "abc"}, "breaks maxLength 2"),
        ({"p": "a", "t": "z"}, "does not fit"),
        ({"p": "a", "u": {"m": 1}}, "does not fit"),
        ({"p": "a", "n": "x"}, "does not fit"),
        ({"p": "a", "l": [1]}, "does not fit"),
        ({"p": "a", "q": 1}, "no parameter q"),
    ):
        assert message in refused(main, params), params
    assert len(refused(main, {"p": "c", "n": 1}).splitlines()) == 2
    files = {
        "x.bicepparam": "using 'main.bicep'\nvar v = 'b'\nparam p = v\nparam l = ['${v}1']",
        "x.json": json.dumps({"parameters": {"p": {"value": "${BICEP_EVAL_TEST=b}"}}}),
    }
    assert (
        bicep(main, "x.bicepparam", files=files).params["l"] == ["b1"]
        and bicep(main, "x.json", files=files).params["p"] == "b"
    )


def test_imports_and_functions():
    lib = "@export()\nvar v = ['a']\n@export()\nfunc f(x string) string => '${g(x)}!'\nfunc g(x string) string => toUpper(x)\n@export()\ntype t = 'x' | 'y'"
    d = bicep(
        "import {v, f as shout, t} from 'lib.bicep'\nimport * as lib from 'lib.bicep'\nparam p t = 'x'\noutput o array = [shout(v[0]), lib.f('b'), ...lib.v, p]",
        files={"lib.bicep": lib},
    )
    assert d.outputs["o"] == ["A!", "B!", "a", "x"]
    assert "does not fit" in refused("import {t} from 'lib.bicep'\nparam p t", {"p": "z"}, files={"lib.bicep": lib})
    assert value(
        "{t: loadTextContent('a.txt'), j: loadJsonContent('b.json').k[1]}",
        files={"a.txt": "text", "b.json": '{"k": [1, 2]}'},
    ) == {"t": "text", "j": 2}


def test_symbols():
    before = "resource r 'Microsoft.Web/sites@2025-03-01' existing = { name: 's' }\nvar p = r.properties"
    for expression, want in {
        "p.a ? 1 : r.id": f"<if(main/r.properties.a, 1, '{'/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Web/sites/s'}')>",
        "p.?a ?? 'x'": "<coalesce(main/r.properties.a, 'x')>",
        "'${p.a}'": "<main/r.properties.a>",
        "split('${p.a}/b', '/')[1]": "<split('<main/r.properties.a>/b', '/')[1]>",
        "[for x in p.list: x.name]": "<for(main/r.properties.list)>",
        "filter(['a'], x => p[x])": "<filter(['a'], lambda)>",
        "r.listKeys().keys[0].value": "<main/r.listKeys().keys[0].value>",
        "empty('${p.a}x')": False,
        "false && p.a": False,
        "contains(['x', p.a], 'x')": True,
        "guid(p.a)": "<guid(main/r.properties.a)>",
    }.items():
        assert value(expression, before) == want, (expression, value(expression, before))


def test_errors():
    for main, message in (
        ("output o string = x", "x is not declared"),
        ("output o string = {a: 1}.b", "main.bicep:1"),
        ("var a = b\nvar b = a\noutput o string = a", "depends on itself"),
        ("output o string = fail('no')", "fail: no"),
        ("resource r 'Microsoft.A/b/c@2025-01-01' = { name: 'x' }", "wants a name of 2 segments"),
        ("output o string = foo(1)", "unknown function foo"),
        ("param a string = ", "main.bicep:1:"),
        ("var v = {\n  a: 1\n  b: toLower(3)\n}\noutput o object = v", "main.bicep:3"),
        ("module m 'no.bicep' = {}", "no such file"),
    ):
        assert message in refused(main), (main, refused(main))


def test_graph_resources():
    d = bicep(
        "extension microsoftGraphV1\nresource app 'Microsoft.Graph/applications@v1.0' = { uniqueName: 'u', displayName: 'd' }\nresource sp 'Microsoft.Graph/servicePrincipals@v1.0' = { appId: app.appId }\noutput o string = '${app.uniqueName} ${app.id}'"
    )
    assert (
        d[1].body == {"appId": "<main/app.appId>"}
        and d[0].name == "u"
        and d.outputs["o"] == "u <main/app.id>"
        and d[1].depends_on == ["main/app"]
    )


def test_command_line():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "main.bicep")
        with open(path, "w") as f:
            f.write(RESOURCES)
        command = [sys.executable, "-m", "tests.infra.bicep.eval", path]
        run = lambda *a: subprocess.run([*command, *a], capture_output=True, text=True, cwd=ROOT)
        assert run("--set", "name=acc").stdout.splitlines()[0].split() == [
            "main/st",
            "Microsoft.Storage/storageAccounts@2025-06-01",
            "acc",
        ]
        assert (
            json.loads(run("--set", "name=acc", "--set", "on=false", "--json").stdout)["skipped"][0]["condition"]
            is False
        )
        assert run().returncode == 1 and "parameter name is missing" in run().stderr
