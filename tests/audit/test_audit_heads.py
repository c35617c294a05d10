"""Tests of `verify_audit --expect`: heads kept elsewhere reveal a tail that was cut off."""

import io
import tempfile
from pathlib import Path
from unittest import mock

from django.core.management import CommandError

from audit.actor import Actor
from tests.support.tampering import VerifyTestCase, delete, head, seal_of


class ExpectTests(VerifyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.heads = self.verify()
        self.file = Path(self.enterContext(tempfile.TemporaryDirectory()), "heads")
        self.expect = ("--expect", str(self.file))
        self.file.write_text(self.heads)

    def test_kept_heads_verify_after_more_events_were_written(self):
        self.verify(*self.expect)
        self.acme.resume(actor=Actor.cli(), reason="paid")
        later = self.verify(*self.expect)
        self.assertNotEqual(later, self.heads)
        # Several kept heads, with blank lines and line ends as editors leave them.
        self.file.write_text(f"\n{self.heads}\n  \n" + later.replace("\n", " \r\n"))
        self.verify(*self.expect)
        with mock.patch("sys.stdin", io.StringIO(later)):
            self.verify("--expect", "-")

    def test_kept_heads_reveal_a_tail_cut_off_with_its_head_turned_back(self):
        for last in (1, 5):
            cut = [delete(last + 1, 6), head(f"sequence = {last}, seal = {seal_of(last)}")]
            with self.subTest(last), self.tampered(*cut):
                self.verify()
                self.assertFound(
                    f"{self.acme.id}: the kept head is number 6, the log now ends at {last}: the"
                    " events after it are gone.",
                    args=self.expect,
                )

    def test_kept_heads_reveal_a_log_rewritten_with_the_right_key(self):
        back = [delete(5, 6), head(f"sequence = 4, seal = {seal_of(4)}")]
        with self.tampered(*back):
            for _ in range(2):
                self.acme.resume(actor=Actor.cli(), reason="as if nothing had been")
                self.acme.suspend(actor=Actor.cli(), reason="as if nothing had been")
            self.verify()
            self.assertFound(
                f"{self.event(6)}: another seal was kept: this event or one before it was"
                " rewritten; of the 2 after it, 2 fit.",
                args=self.expect,
            )

    def test_kept_heads_reveal_a_log_that_is_gone(self):
        gone = f"{self.acme.id}: its head was kept, but the audit log is gone."
        with self.tampered(
            delete(1, 6),
            "DELETE FROM audit_audithead WHERE organization_id = ACME",
            "DELETE FROM accounts_organization WHERE id = ACME",
        ):
            self.verify()
            self.assertFound(gone, args=self.expect)
            self.assertFound(gone, args=(*self.expect, "--organization", self.acme.id))
            self.verify(*self.expect, "--organization", self.globex.id)

    def test_malformed_file_of_kept_heads_is_refused_without_a_query(self):
        good = self.heads.splitlines()[0]
        no_head = "is no head: it should hold an organization's id, a number and a seal"
        for text, message in [
            ("nonsense", f"Line 1 {no_head}"),
            (f"{good}\n\n{good} more", f"Line 3 {no_head}"),
            (good[:-1], f"Line 1 {no_head}"),
            (good.replace(" ", "\t"), f"Line 1 {no_head}"),
            (good.replace(" ", " -", 1), f"Line 1 {no_head}"),
            (good.replace(" ", " 99999999999999999999", 1), f"Line 1 {no_head}"),
            (f"é{good}", f"Line 1 {no_head}"),
            (f"{good}\n{good[:-64]}{'0' * 64}", "Line 2 contradicts an earlier line."),
            ("", "There is no head in it"),
            ("\n \n", "There is no head in it"),
        ]:
            self.file.write_text(text)
            with (
                self.subTest(text),
                self.assertNumQueries(0),
                self.assertRaisesMessage(CommandError, f"cannot be used. {message}"),
            ):
                self.verify(*self.expect)
        with self.assertRaisesMessage(CommandError, "cannot be read: No such file"):
            self.verify("--expect", f"{self.file}.not")
        binary = io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8")
        with (
            mock.patch("sys.stdin", binary),
            self.assertRaisesMessage(CommandError, "- cannot be used. It is no text."),
        ):
            self.verify("--expect", "-")
