"""The client's address is what the trusted proxies say, and never what the client says."""

import pytest

from reachscore.api.addresses import client_address


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
        # Unknown, rather than an entry that the client wrote.
        (1, None, None),
        (1, "", None),
        (2, "198.51.100.7", None),
        (1, "198.51.100.7, ", None),
        (1, "198.51.100.7, unknown", None),
        (1, "198.51.100.7:443", None),
        (1, "198.51.100.7%eth0", None),
        (1, "[2001:db8::7]", None),
        (1, "198.51.100.07", None),
        (1, "198.51.100.7/24", None),
        (1, "198.51.100.7\n10.0.0.1", None),
        (1, "١٩٨.51.100.7", None),
        (1, "3325256711", None),
        (1, "rk_live_", None),
    ],
)
def test_counts_the_trusted_proxies_from_the_right(settings, proxies, forwarded, address):
    settings.TRUSTED_PROXY_COUNT = proxies
    meta = {"REMOTE_ADDR": "192.0.2.1"}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded
    assert client_address(meta) == address


@pytest.mark.parametrize(
    ("socket", "address"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("::1", "::1"), ("", None), ("/run/socket", None)],
)
def test_the_sockets_own_address_is_read_the_same_way(settings, socket, address):
    settings.TRUSTED_PROXY_COUNT = 0
    assert client_address({"REMOTE_ADDR": socket}) == address


def test_a_zone_cannot_carry_text(settings):
    settings.TRUSTED_PROXY_COUNT = 1
    assert client_address({"HTTP_X_FORWARDED_FOR": "fe80::1%any text"}) == "fe80::1"
