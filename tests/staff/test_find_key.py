"""Tests of pasting a key into the search box: it leads to the key and is repeated nowhere."""

from urllib.parse import quote as url_quote

from django.contrib.sessions.models import Session
from django.test import Client

from apikeys.plaintext import new_plaintext
from apikeys.verbs.revoke import revoke
from audit.actor import Actor
from tests.staff.test_admin import KEYS, ORGANIZATIONS, AdminTestCase, page_of
from tests.support.cast import Answer

FIND = f"{KEYS}find/"


class NoKeyRepeated(AdminTestCase):
    def assertNotRepeated(self, key: str, *answers: Answer) -> None:
        """Check that no answer, cookie or session holds the key's secret part."""
        secret = key[17:]
        for answer in answers:
            self.assertNotIn(secret, answer.content.decode())
            self.assertNotIn(secret, str(answer.headers))
            self.assertNotIn(secret, str(answer.cookies))
        for session in Session.objects.all():
            self.assertNotIn(secret, str(session.get_decoded()))


class FindByKeyTests(NoKeyRepeated):
    def find(self, q: str, **fields: str) -> Answer:
        return self.browser.post(FIND, {"q": q, **fields})

    def test_search_box_posts_to_the_find_address_with_the_filters(self):
        page = self.browser.get(f"{KEYS}?livemode__exact=1&o=1").content.decode()
        form = page[page.index('<form id="changelist-search"') :].split("</form>")[0]
        self.assertIn(f'method="post" action="{FIND}"', form)
        for part in (
            'autocomplete="off"',
            'name="csrfmiddlewaretoken"',
            '<input type="hidden" name="livemode__exact" value="1">',
            '<input type="hidden" name="o" value="1">',
        ):
            self.assertIn(part, form)

    def test_pasted_key_leads_to_its_page_in_any_state(self):
        api_key, client = self.issue(livemode=False)
        self.issue()
        for state in ("active", "revoked"):
            for text in (client.key, f"Authorization: Bearer {client.key}\n", " ".join(client.key)):
                with self.subTest(f"{state}, {len(text)} characters"):
                    response = self.find(text)
                    self.assertRedirects(response, page_of(KEYS, api_key.id))
                    self.assertNotRepeated(client.key, response)
            revoke(api_key, actor=Actor.cli())

    def test_pasted_unknown_key_is_told_so_and_not_repeated(self):
        unknown = new_plaintext(livemode=True)
        mistyped = unknown[:20] + ("a" if unknown[20] != "a" else "b") + unknown[21:]
        for key, said in [
            (unknown, "issued by another system"),
            (mistyped, "missing or mistyped"),
        ]:
            with self.subTest(said):
                response = self.find(key, livemode__exact="1")
                self.assertEqual(response["Location"], f"{KEYS}?livemode__exact=1")
                page = self.browser.get(response["Location"])
                self.assertContains(page, "There is no such key")
                self.assertContains(page, said)
                self.assertNotRepeated(key, response, page)

    def test_pasted_other_text_becomes_a_search_that_keeps_the_filters(self):
        for text, query in [
            ("nightly import", "q=nightly+import"),
            ("a&b=c", "q=a%26b%3Dc"),
            ("", ""),
        ]:
            with self.subTest(text):
                response = self.find(text, livemode__exact="1", p="3", csrfmiddlewaretoken="x")
                self.assertEqual(
                    response["Location"], f"{KEYS}?livemode__exact=1&{query}".removesuffix("&")
                )
        self.assertEqual(self.find("")["Location"], KEYS)

    def test_pasted_truncated_key_is_searched_by_its_locator(self):
        api_key, client = self.issue()
        spaced = " ".join(client.key[:40])
        for cut in (client.key[:40], client.key[:-1], client.key[:17], client.key[:16], spaced):
            with self.subTest(len(cut)):
                response = self.find(cut)
                self.assertEqual(response["Location"], f"{KEYS}?q={client.key[8:16]}")
                self.assertContains(self.browser.get(response["Location"]), api_key.id)

    def test_pasted_key_without_its_beginning_goes_into_no_address(self):
        key = self.issue()[1].key
        for text in (key[1:], key[3:], key[17:], f"Rk{key[2:]}", key.replace("_", "-")):
            answer = self.find(text)
            self.assertNotIn(key[17:40], answer["Location"])
            self.assertNotRepeated(key, answer)

    def test_pasted_hint_is_searched_as_shown(self):
        _, client = self.issue()
        hint = client.key[-4:]
        response = self.browser.post(FIND, {"q": f" ...{hint} "})
        self.assertEqual(response["Location"], f"{KEYS}?q={hint}")

    def test_key_in_another_field_of_the_search_is_dropped(self):
        _, client = self.issue()
        response = self.find("nightly", livemode__exact=client.key, **{client.key: "1"})
        self.assertEqual(response["Location"], f"{KEYS}?q=nightly")

    def test_find_needs_view_permission_and_a_csrf_token(self):
        api_key, client = self.issue()
        sent = {"q": client.key}
        looker = self.colleague("view_apikey")
        self.assertRedirects(
            looker.post(FIND, sent), page_of(KEYS, api_key.id), fetch_redirect_response=False
        )
        self.assertEqual(self.colleague().post(FIND, sent).status_code, 403)
        self.assertIn("/admin/login/", Client().post(FIND, sent)["Location"])
        forged = Client(enforce_csrf_checks=True)
        forged.force_login(self.sam)
        refused = forged.post(FIND, sent)
        self.assertEqual(refused.status_code, 403)
        self.assertNotRepeated(client.key, refused)

    def test_find_without_a_form_redirects_to_the_list(self):
        self.assertRedirects(self.browser.get(FIND), KEYS)


class KeyInAddressTests(NoKeyRepeated):
    def test_page_with_a_key_in_its_address_is_refused_without_a_query_and_not_repeated(self):
        key = self.issue()[1].key
        self.issue()
        for path in (
            f"{KEYS}?q={key}",
            f"{KEYS}?q=Bearer%20{key}",
            f"{KEYS}?q={key.replace('_', '%5F')}",
            f"{KEYS}?{key}=1",
            f"{KEYS}?_changelist_filters=q%3D{key}",
            f"{KEYS}{key}/change/",
            f"{ORGANIZATIONS}?q={key}",
            f"/admin/audit/auditevent/?q={key}",
            f"/admin/staff/user/?q={key}",
            f"/admin/autocomplete/?app_label=apikeys&term={key}",
            f"/admin/login/?next={url_quote(f'{KEYS}?q={key}')}",
            f"/docs?x={key}",
            f"/{key}",
        ):
            for browser in (self.browser, Client()):
                with self.subTest(path), self.assertNumQueries(0):
                    response = browser.get(path)
                self.assertContains(response, "This address holds an API key", status_code=400)
                self.assertContains(response, "revoke it", status_code=400)
                self.assertNotRepeated(key, response)
                self.assertEqual(response["Cache-Control"], "no-store")
                self.assertEqual(response["Referrer-Policy"], "no-referrer")
                self.assertIn("default-src 'self'", response["Content-Security-Policy"])

    def test_address_with_a_word_like_key_is_not_refused(self):
        for path in (f"{KEYS}?q=rk_live_", f"{KEYS}?q=token", "/admin/?key=x", "/?api_key=x"):
            self.assertIn(self.browser.get(path, follow=True).status_code, (200, 302), path)

    def test_page_query_with_too_many_parameters_is_refused(self):
        response = self.client.get("/docs?" + "&".join(f"a{i}=1" for i in range(2000)))
        self.assertEqual(response.status_code, 400)
        self.assertIn("Request-Id", response)
