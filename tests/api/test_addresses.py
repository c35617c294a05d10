"""Tests of the client's address: read from the trusted proxies only, never from the client."""

import pytest

from web.proxies import UnreadableHeader, read_proxies


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, None, "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "10.9.9.9, 198.51.100.7", "198.51.100.7"),
        (1, "10.9.9.9,198.51.100.7 ", "198.51.100.7"),
        (2, "10.9.9.9, 198.51.100.7, 10.0.0.1", "198.51.100.7"),
        (2, "198.51.100.7, nonsense", "198.51.100.7"),
        (1, "2001:DB8:0::7", "2001:db8::7"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "fe80::1%any text", "fe80::1"),
        # As Azure, IIS and RFC 7239 write addresses.
        (1, "203.0.113.7:51234", "203.0.113.7"),
        (1, "10.9.9.9, [2001:db8::7]:443", "2001:db8::7"),
        (2, "[2001:DB8::7], 10.0.0.1:80", "2001:db8::7"),
        (1, '"192.0.2.7"', "192.0.2.7"),
        (1, '"[2001:db8::7]:443"', "2001:db8::7"),
        (1, "[fe80::1%eth0]:443", "fe80::1"),
        (1, "[::ffff:198.51.100.7]:1", "198.51.100.7"),
        (1, "2001:db8::1:443", "2001:db8::1:443"),
        # Unknown, because the entry is not a trusted proxy's.
        (1, None, None),
        (2, "198.51.100.7", None),
        (1, "198.51.100.7, unknown", None),
        (1, "198.51.100.7%eth0", None),
        (1, "198.51.100.7:", None),
        (1, "198.51.100.7:x", None),
        (1, "198.51.100.7:443443", None),
        (1, "198.51.100.7:443:443", None),
        (1, '"198.51.100.7', None),
        (1, '"', None),
        (1, '""198.51.100.7""', None),
        (1, "[2001:db8::7", None),
        (1, "[2001:db8::7]443", None),
        (1, "[[2001:db8::7]]", None),
        (1, "[2001:db8::7]:443 x", None),
        (1, "[" + ":" * 30_000, None),
        (1, "198.51.100.07", None),
        (1, "198.51.100.7/24", None),
        (1, "198.51.100.7\n10.0.0.1", None),
        (1, "١٩٨.51.100.7", None),
        (1, "3325256711", None),
        (1, "rk_live_", None),
    ],
)
def test_trusted_proxies_are_counted_from_the_right_of_x_forwarded_for(
    settings, proxies, forwarded, address
):
    settings.TRUSTED_PROXY_COUNT = proxies
    meta = {"REMOTE_ADDR": "192.0.2.1"}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded
    assert read_proxies(meta)[0] == address


@pytest.mark.parametrize(
    ("socket", "address"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("::1", "::1"), ("", None), ("/run/socket", None)],
)
def test_socket_address_is_normalized_and_a_unix_socket_has_none(settings, socket, address):
    settings.TRUSTED_PROXY_COUNT = 0
    assert read_proxies({"REMOTE_ADDR": socket})[0] == address


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto"])
@pytest.mark.parametrize(
    ("proxies", "value"),
    [(1, ""), (1, "  "), (1, "198.51.100.7, "), (2, ""), (2, "10.9.9.9,,10.0.0.1"), (2, ",https")],
)
def test_forwarded_header_with_an_empty_entry_at_the_trusted_place_is_refused(
    settings, header, proxies, value
):
    settings.TRUSTED_PROXY_COUNT = proxies
    meta = {f"HTTP_{header.upper().replace('-', '_')}": value}
    with pytest.raises(UnreadableHeader, match=f"^{header}$"):
        read_proxies(meta)
    settings.TRUSTED_PROXY_COUNT = 0  # Without trusted proxies the header is not read.
    read_proxies(meta)
