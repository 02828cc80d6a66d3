"""Filter patterns match as documented by CloudWatch Logs; unsupported ones are refused by name."""

import json

import pytest

from embedded.cloudwatch.filter_patterns import FilterPatternError, compile_pattern

EVENT = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "cluster.name": "c",
        "errors": 0,
        "ThisFlag": True,
        "latency": 50.5,
    }
)


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("ERROR", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        ("ERROR", "[error 401]", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 401] UNAUTHORIZED REQUEST", False),
        ("?ERROR ?ARGUMENTS", "MISSING ARGUMENTS", True),
        ("?ERROR ?ARGUMENTS", "WARN", False),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('"INTERNAL SERVER ERROR"', "INTERNAL ERROR", False),
        ('"a \\"b\\""', 'a "b"', True),
        ("ERROR -ARGUMENTS", "[ERROR 400] BAD REQUEST", True),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
        ("%AUTHORIZED%", "[ERROR 401] UNAUTHORIZED REQUEST", True),
        (r"%10\.10\.0\.\d{1,3}%", "from 10.10.0.44", True),
        (r"%^10%", "from 10.10.0.44", False),
    ],
)  # fmt: skip
def test_terms(pattern: str, message: str, expected: bool) -> None:
    assert compile_pattern(pattern)(message) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ("{$.eventType=UpdateTrail}", True),
        ("{ $.eventType = UpdateT* }", True),
        ('{ $.eventType = "*Trail" }', True),
        ('{ $.eventType = "Update" }', False),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress != 111.111.* }", False),
        ("{ $.arrayKey[0] = value }", True),
        ("{ $.arrayKey[2] = value }", False),
        ('{ $.objectList[1].name = "b" && $.objectList[1].id = 2 }', True),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.nothing IS NULL }", False),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.ThisFlag IS TRUE }", True),
        ("{ $.ThisFlag IS FALSE }", False),
        ('{ $.[\'cluster.name\'] = "c" }', True),
        ("{ $.latency > 50 }", True),
        ("{ $.latency <= 5e1 }", False),
        ("{ $.latency >= 50.5 && $.errors = 0 }", True),
        ('{ $.errors = "*" }', True),
        ('{ $.nothing != "x" }', False),
        ("{ $.eventType > 5 }", False),
        (r"{ $.sourceIPAddress = %^\d+\.111\.% }", True),
        ('{ ($.errors = 1 && $.latency > 1) || ($.eventType = "UpdateTrail") }', True),
        ('{ $.errors = 1 && ($.latency > 1 || $.eventType = "UpdateTrail") }', False),
        ('{ $.eventType = "UpdateTrail" || $.errors = 1 && $.errors = 2 }', True),
    ],
)  # fmt: skip
def test_json_conditions(pattern: str, expected: bool) -> None:
    matches = compile_pattern(pattern)
    assert matches(EVENT) is expected
    assert not matches("START RequestId: 1")
    assert not matches('"text"')


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("[w1=ERROR, w2]", "space-delimited"),
        ("job-1", "in term 'job-1': write it in double quotes"),
        ("?WARN ERROR", r"optional terms \(\?TERM\) together"),
        ('"open', "in term '\"open'"),
        ("%(a|b)%", "do not support"),
        (r"%\bword%", "do not support"),
        ("%[a%", "not a regular expression"),
        ("{ $.a }", "expected =, !=,"),
        ("{ $.a = }", "expected a text"),
        ("{ $.a[*].b = 1 }", r"\[\*\]"),
        ("{ a = 1 }", "expected a property"),
        ("{ $.a = true }", "use IS TRUE"),
        ("{ $.a > big }", "expected a number after >"),
        ("{ $.a IS NOT }", "expected =, !=,"),
        ("{ ($.a = 1 }", r"expected '\)'"),
        ("{ $.a = 1 } more", "ends with its closing brace"),
        ("{ $.a = %x% && $.b = %y% && $.c = %z% }", "at most 2 regular expressions"),
    ],
)
def test_invalid_and_unsupported_patterns_are_refused_by_name(pattern: str, named: str) -> None:
    with pytest.raises(FilterPatternError, match=named):
        compile_pattern(pattern)
