"""Random requests of DynamoDB: most are plain, some are unusual or wrong."""

import random
import re
from collections.abc import Callable
from typing import Any

from tests.unit.embedded.ministack.dynamodb.plain_requests.conftest import TABLE

Request = dict[str, Any]

_VALUES: list[Any] = [
    {"S": "a"}, {"S": "b"}, {"S": "ü"}, {"N": "1"}, {"N": "2"}, {"N": "10"}, {"BOOL": True}, {"NULL": True},
    {"SS": ["a", "b"]}, {"L": [{"S": "a"}, {"N": "1"}]}, {"M": {"n": {"N": "1"}, "s": {"S": "a"}}}, {"B": "YQ=="},
    {"N": "1.50"}, {"L": []}, {"M": {}}, {"S": ""},
]  # fmt: skip
_ODD_VALUES: list[Any] = [
    {"N": "-0"}, {"N": "1e3"}, {"N": "x"}, {"N": 1}, {"S": 1}, {"SS": []}, {"NS": ["1", "1.0"]}, {"NS": ["1", "2"]},
    {"SS": ["a", "a"]}, {"L": [{"N": "y"}]}, {"M": {"a": {"S": "x", "N": "1"}}}, {}, {"NULL": False}, {"X": "a"},
    {"N": "1" * 39}, {"BOOL": "true"}, {"B": ""}, {"S": "long" * 600}, {"BS": ["YQ=="]}, {"S": "x" * 410_000}, "text",
]  # fmt: skip
_ATTRIBUTES = ("n", "m", "s", "l", "ü", "status", "time")
_PATHS = ("#n", "#m", "n", "status", "s", "missing", "pk")
_ODD_PATHS = ("m.n", "#m.s", "m.#n", "name", "#unknown", "l[0]", "l[9]", "size(s)", "1", "")
_GIVEN_VALUES: dict[str, Any] = {
    ":a": {"S": "a"}, ":b": {"S": "b"}, ":n": {"N": "1"}, ":t": {"N": "2"}, ":s": {"SS": ["a", "c"]},
    ":l": {"L": [{"S": "x"}]}, ":m": {"M": {"n": {"N": "7"}}}, ":p": {"S": "p"},
}  # fmt: skip
_GIVEN_NAMES = {"#n": "n", "#m": "m", "#p": "pk", "#s": "sk", "#status": "status", "#time": "time"}
_UPDATES = (
    "SET n = :n", "SET #n = #n + :n", "SET n = if_not_exists(n, :n) - :t, s = :a", "ADD n :n", "ADD s :s, n :n",
    "REMOVE m, s", "SET #m = :a REMOVE s ADD n :t", "DELETE s :s", "SET m.n = :n", "set n = :n add x :n",
    "SET l = list_append(l, :l)", "SET n = (:n + :t)", "SET m = :m, s = m", "SET status = :a, #m = :m", "REMOVE l[0]",
)  # fmt: skip
_ODD_UPDATES = (
    "SET pk = :a", "SET name = :a", "SET time = :n", "UPDATE n = :n", "", "SET n = s", "SET n = :n SET s = :a",
    "SET n = :unknown", "SET n = ((:n))", "SET m.x.y = :a", " ",
)  # fmt: skip
_KEY_CONDITIONS = (
    "pk = :p", "pk = :p AND begins_with(sk, :a)", "(#p = :p AND begins_with(#s, :a))", "pk = :p AND sk = :b",
    "pk = :p AND sk BETWEEN :a AND :b", "pk = :p AND sk > :a", "pk = :p AND sk <= :b", "pk = :p AND #s < :b",
    "pk = :p AND sk >= :b",
)  # fmt: skip
_ODD_KEY_CONDITIONS = (
    "pk = :p AND sk BETWEEN :b AND :a", "sk = :a", "pk = :n", "pk = :p AND n = :a", "#n = :p", "pk > :p", "",
    "pk = :p AND sk >= :a AND sk < :b", "pk = :p and sk = :a", "pk = :p AND contains(sk, :a)", "sk = :a AND pk = :p",
    "pk = :p AND begins_with(sk, :n)", "(pk = :p)", "((pk = :p))", "pk = :p AND pk = :p",
)  # fmt: skip
_INDEX_CONDITIONS = (
    "#status = :a", "#status = :a AND begins_with(#time, :a)", "(#status = :a AND #time BETWEEN :a AND :b)",
    "#status = :b AND #time > :a", "#status = :a AND #time <= :b",
)  # fmt: skip
_FILTERS = ("attribute_exists(n)", "n = :n OR s <> :a", "attribute_not_exists(#m)", "n BETWEEN :n AND :t")
_PROJECTIONS = ("n", "pk, sk", "#m, n", "m.n, s", "l[0]", "#p, status")


class Requests:
    """Makes requests from random numbers."""

    def __init__(self, numbers: random.Random) -> None:
        self._random = numbers

    def some(self) -> tuple[str, Request]:
        """Return an operation and its request."""
        make: tuple[tuple[str, Callable[[], Request]], ...] = (
            ("PutItem", self.put), ("UpdateItem", self._update_item), ("DeleteItem", self._delete),
            ("TransactWriteItems", self._transaction), ("TransactWriteItems", self._transaction),
            ("GetItem", self._get), ("BatchGetItem", self._batch), ("Query", self._query),
        )  # fmt: skip
        operation, request = self._random.choice(make)
        return operation, request()

    def put(self) -> Request:
        item = {name: self._value() for name in self._random.sample(_ATTRIBUTES, self._random.randint(0, 5))}
        if "status" in item and not self._is_odd():
            item["status"] = self._random.choice(_VALUES[:3])
        if "time" in item and not self._is_odd():
            item["time"] = self._random.choice(_VALUES[:3])
        return self._conditional({"Item": {**item, **self._key()}})

    def _update_item(self) -> Request:
        wanted = ["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW", *self._odd(["odd"])]
        return {**self._update(), **self._perhaps("ReturnValues", wanted, 0.8)}

    def _update(self) -> Request:
        return self._conditional({"Key": self._key(), "UpdateExpression": self._pick(_UPDATES, _ODD_UPDATES)})

    def _delete(self) -> Request:
        return self._conditional({"Key": self._key()})

    def _check(self) -> Request:
        return self._conditional({"Key": self._key(), "ConditionExpression": self._condition(2)})

    def _transaction(self) -> Request:
        make = {"Put": self.put, "Update": self._update, "Delete": self._delete, "ConditionCheck": self._check}
        kinds = self._random.choices(list(make), (4, 2, 1, 1), k=self._random.randint(0 if self._is_odd() else 1, 4))
        return {"TransactItems": [{kind: make[kind]()} for kind in kinds]}

    def _get(self) -> Request:
        odd = self._perhaps("ProjectionExpression", ["n", "pk, m.n"], 0.1)
        return {"TableName": self._table(), "Key": self._key(), **self._perhaps("ConsistentRead", [True], 0.5), **odd}

    def _batch(self) -> Request:
        odd = self._perhaps("ProjectionExpression", ["n"], 0.1)
        keys = [self._key() for _ in range(self._random.randint(0 if self._is_odd() else 1, 4))]
        if not self._is_odd():
            keys = [key for number, key in enumerate(keys) if key not in keys[:number]]
        return {"RequestItems": {self._table(): {"Keys": keys, **self._perhaps("ConsistentRead", [True], 0.5), **odd}}}

    def _query(self) -> Request:
        of_index = self._random.random() < 0.4
        usual = _INDEX_CONDITIONS if of_index else _KEY_CONDITIONS
        start = self._key()
        if of_index:
            start |= {name: self._random.choice(_VALUES[:2]) for name in ("status", "time")}
        request = {
            "TableName": self._table(),
            "KeyConditionExpression": self._pick(usual, _ODD_KEY_CONDITIONS),
            **({"IndexName": self._pick(["by-status"], ["unknown"])} if of_index != self._is_odd() else {}),
            **self._perhaps("Limit", [1, 2, 3, *self._odd([0])], 0.3),
            **self._perhaps("ScanIndexForward", [True, False], 0.3),
            **self._perhaps("ExclusiveStartKey", [start], 0.3),
            **self._perhaps("FilterExpression", [*_FILTERS, self._condition(1)], 0.2),
            **self._perhaps("ProjectionExpression", [*_PROJECTIONS, *self._odd(["name", "m, m.n", "n, n"])], 0.2),
            **self._perhaps("Select", ["COUNT"], 0.05),
            **self._perhaps("ConsistentRead", [True], 0.1),
        }
        return self._with_references(request)

    def _conditional(self, request: Request) -> Request:
        made = {
            "TableName": self._table(),
            **self._perhaps("ConditionExpression", [self._condition(2)], 0.6),
            **request,
            **self._perhaps("ReturnValuesOnConditionCheckFailure", ["ALL_OLD", "NONE"], 0.3),
        }
        return self._with_references(made)

    def _condition(self, depth: int) -> str:
        if self._is_odd():
            function = self._random.choice(["begins_with", "contains", "attribute_type"])
            odd = ["n =", "((n = :n))", "n = :n x", "n", f"{function}({self._path()}, {self._operand()})", ""]
            return self._random.choice(odd)
        function = self._random.choice(["attribute_exists", "attribute_not_exists"])
        operator = self._random.choice(["=", "<>", "=", "<>", "<", "<=", ">", ">="])
        kinds = [
            f"{function}({self._path()})",
            f"{self._path()} BETWEEN {self._operand()} AND {self._operand()}",
            f"{self._path()} IN ({self._operand()}, {self._operand()})",
            *[f"{self._path()} {operator} {self._operand()}"] * 2,
        ]
        if depth:
            parts = [self._condition(depth - 1) for _ in range(4)]
            joined = [f"{parts[0]} {word} {parts[1]}" for word in ("AND", "OR", "and")]
            kinds += [f"NOT {parts[2]}", f"({parts[3]})", *joined]
        return self._random.choice(kinds)

    def _with_references(self, request: Request) -> Request:
        text = " ".join(str(field) for name, field in request.items() if name.endswith("Expression"))
        values = {name: value for name, value in _GIVEN_VALUES.items() if name in text}
        words = set(re.findall(r"#\w+", text))
        names = {name: attribute for name, attribute in _GIVEN_NAMES.items() if name in words}
        if self._is_odd():
            values = self._random.choice([{}, {**values, ":z": {"S": "z"}}, dict.fromkeys(values, self._value())])
            names = self._random.choice([names, {**names, "#z": "z"}, {}])
        keeps_empty = self._is_odd()
        fields = {"ExpressionAttributeValues": values, "ExpressionAttributeNames": names}
        return {**request, **{name: field for name, field in fields.items() if field or keeps_empty}}

    def _key(self) -> Request:
        key = {"pk": {"S": self._random.choice("pq")}, "sk": {"S": self._random.choice(["a", "a#1", "b", "ü"])}}
        if self._is_odd():
            key[self._random.choice(["pk", "sk", "n"])] = self._value()
        return key

    def _operand(self) -> str:
        return self._path() if self._random.random() < 0.1 else self._random.choice([":a", ":b", ":n", ":n", ":t"])

    def _path(self) -> str:
        return self._pick(_PATHS, _ODD_PATHS)

    def _value(self) -> Any:
        return self._pick(_VALUES, _ODD_VALUES)

    def _table(self) -> str:
        return self._random.choice(["unknown", "", f"arn:aws:dynamodb:us-east-1:000000000000:table/{TABLE}"]) if (
            self._is_odd() and self._is_odd(0.3)
        ) else TABLE  # fmt: skip

    def _perhaps(self, field: str, values: list[Any], share: float) -> Request:
        return {field: self._random.choice(values)} if self._random.random() < share else {}

    def _odd(self, values: list[Any]) -> list[Any]:
        return values if self._is_odd() else []

    def _pick(self, usual: Any, odd: Any) -> Any:
        return self._random.choice(odd if self._is_odd() else usual)

    def _is_odd(self, share: float = 0.02) -> bool:
        return self._random.random() < share
