"""Tests of Unicode composition (NFC): a composed and a decomposed text are the same text."""

import time
import unicodedata
from urllib.parse import quote

from accounts.models import Organization
from apikeys.models import ApiKey
from audit.models import AuditEvent
from staff.models import User
from tests.support.cast import ApiTestCase
from web.errors.refusals import ParameterInvalid
from web.input.text import clean_line, composed

NFC = "Geschäft Ålesund ᾂ 한국"
NFD = unicodedata.normalize("NFD", NFC)


class ComposedTextTests(ApiTestCase):
    def test_decomposed_name_is_stored_composed_and_found_in_either_form(self):
        assert NFC != NFD
        _, client = self.issue()
        made = client.send("/v1/keys", {"name": NFD}).json()
        self.assertEqual(made["name"], NFC)
        browser = self.staff()
        form = {"name": NFD, "plan": "free", "reason": "signed"}
        self.assertEqual(browser.post("/admin/accounts/organization/add/", form).status_code, 302)
        customer = Organization.objects.get(name=NFC)
        client.delete(f"/v1/keys/{made['id']}?reason={quote(NFD)}")
        self.assertEqual(ApiKey.objects.get(pk=made["id"]).revoked_reason, NFC)
        event = AuditEvent.objects.get(reason=NFC)
        colleague = User.objects.create_user("Åse")  # Django composes user names itself (NFKC).
        for typed in ("Åse", unicodedata.normalize("NFD", "Åse")):
            page = browser.get("/admin/staff/user/", {"q": typed})
            self.assertContains(page, f"/admin/staff/user/{colleague.pk}/change/")
        field = "app_label=apikeys&model_name=apikey&field_name=organization"
        for text in (quote(NFC), quote(NFD)):
            with self.subTest(text):
                found = client.get(f"/v1/keys?name={text}").json()["data"]
                self.assertEqual([key["id"] for key in found], [made["id"]])
                for url, expected in (
                    (f"apikeys/apikey/?q={text}", made["id"]),
                    (f"accounts/organization/?q={text}", customer.id),
                    (f"audit/auditevent/?q={text}", event.target_id),
                    (f"autocomplete/?term={text}&{field}", customer.id),
                ):
                    self.assertContains(browser.get(f"/admin/{url}"), expected)

    def test_length_limit_counts_the_composed_text(self):
        for text, is_taken in [
            ("a\u0308" * 100, True),
            ("a\u0308" * 101, False),
            ("\u03b1\u0313\u0300\u0345" * 100, True),  # Four code points that compose to one.
            ("\u0958" * 50, True),  # Excluded from composition: becomes two.
            ("\u0958" * 51, False),
        ]:
            with self.subTest(text[:4]):
                if is_taken:
                    self.assertLessEqual(len(clean_line(text, field="f", max_length=100)), 100)
                else:
                    with self.assertRaises(ParameterInvalid):
                        clean_line(text, field="f", max_length=100)

    def test_composing_a_long_run_of_marks_takes_linear_time(self):
        marks = "a" + "\u0315\u0300" * 500_000  # Out of order: sorting them is quadratic.
        began = time.perf_counter()
        self.assertEqual(composed(marks, max_length=200), marks)
        self.assertLess(time.perf_counter() - began, 0.1)

    def test_text_with_a_replacement_character_is_refused_by_api_and_admin(self):
        api_key, client = self.issue()
        sent = client.send("/v1/keys", {"name": "Gesch\ufffdft"})
        self.assertRefused(sent, 400, "parameter_invalid", field="name")
        browser = self.staff()
        answer = browser.generic(
            "POST",
            f"/admin/apikeys/apikey/{api_key.id.replace('_', '_5F')}/revoke/",
            b"category=other&reason=Gesch%E4ft",
            content_type="application/x-www-form-urlencoded",
        )
        self.assertContains(answer, "U+FFFD")
        api_key.refresh_from_db()
        self.assertIsNone(api_key.revoked_at)
