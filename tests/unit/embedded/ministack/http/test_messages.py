"""Headers and queries of requests, as the signature covers them."""

import pytest

from embedded.ministack.http.messages import header_map, query_map


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {}),
        ([(b"Host", b"localhost"), (b"X-Amz-Date", b"d")], {"host": "localhost", "x-amz-date": "d"}),
        ([(b"x-amz-meta-a", b"\xc3\xbc")], {"x-amz-meta-a": "\u00fc"}),
        ([(b"x-amz-meta-a", b"\xfc"), (b"Host", b"h")], {"x-amz-meta-a": "\u00fc", "host": "h"}),
        ([(b"a", b"1"), (b"A", b"2"), (b"b", b"3"), (b"a", b"")], {"a": "1,2,", "b": "3"}),
        ([(b"a", b"1"), (b"a", b"\xfc")], {"a": "1,\u00fc"}),
    ],
)
def test_headers_have_lower_case_names_and_joined_values(
    fields: list[tuple[bytes, bytes]], expected: dict[str, str]
) -> None:
    assert header_map({"headers": fields}) == expected


def test_a_query_keeps_blank_and_repeated_values() -> None:
    assert query_map({}) == query_map({"query_string": b""}) == {}
    assert query_map({"query_string": b"acl&a=1&a=%C3%BC&b="}) == {"acl": [""], "a": ["1", "\u00fc"], "b": [""]}
