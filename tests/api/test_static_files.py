"""Tests of byte ranges of static files."""

from pathlib import Path

from django.test import SimpleTestCase

FILE = "reachscore/favicon.svg"
CONTENT = (Path(__file__).resolve().parents[2] / "static" / FILE).read_bytes()
SIZE = len(CONTENT)


class RangeTests(SimpleTestCase):
    def test_static_range_is_answered_with_its_bytes_or_416(self):
        for given, status, expected in (
            ("bytes=0-0", 206, CONTENT[:1]),
            ("bytes=5-5", 206, CONTENT[5:6]),
            ("bytes=-1", 206, CONTENT[-1:]),
            (f"bytes={SIZE - 1}-", 206, CONTENT[-1:]),
            (f"bytes={SIZE - 1}-{SIZE + 9}", 206, CONTENT[-1:]),
            ("bytes=0-1", 206, CONTENT[:2]),
            ("bytes=0-", 206, CONTENT),
            (f"bytes={SIZE}-{SIZE}", 416, b""),
            (f"bytes={SIZE}-", 416, b""),
            ("bytes=5-4", 416, b""),
            ("bytes=0-0,5-5", 200, CONTENT),  # Several ranges, which a server may ignore.
            ("bytes=a-a", 200, CONTENT),
            ("lines=0-0", 200, CONTENT),
        ):
            for method in ("GET", "HEAD"):
                with self.subTest(range=given, method=method):
                    headers = {"Range": given, "Accept-Encoding": "identity"}
                    response = self.client.generic(method, f"/static/{FILE}", headers=headers)
                    self.assertEqual(response.status_code, status)
                    body = b"".join(response)
                    self.assertEqual(body, expected if method == "GET" else b"")
                    if status == 416:
                        self.assertEqual(response["Content-Range"], f"bytes */{SIZE}")
                        continue
                    self.assertEqual(response["Content-Length"], str(len(expected)))
                    self.assertEqual(response["Content-Type"], "image/svg+xml")
                    if status == 206:
                        self.assertRegex(response["Content-Range"], rf"^bytes \d+-\d+/{SIZE}$")
