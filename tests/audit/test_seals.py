"""Tests of seals: each covers everything its event says, in one canonical form."""

import re
from datetime import UTC, datetime, timedelta, timezone

from django.test import override_settings

from audit.models import AuditEvent, AuditHead
from audit.seals import GENESIS, as_stored, canonical, seal
from tests.support.cast import ApiTestCase


class SealTests(ApiTestCase):
    KEY = bytes(range(32))

    def test_canonical_form_is_independent_of_spelling(self):
        noon = datetime(2030, 1, 31, 12, tzinfo=UTC)
        same = [
            {"created_at": noon, "ip": "::1.2.3.4", "changes": as_stored({"b": (1, "é"), "a": ()})},
            {
                "changes": {"a": [], "b": [1, "é"]},
                "ip": "::102:304",
                "created_at": noon.astimezone(timezone(timedelta(hours=5))),
                "livemode": None,
            },
        ]
        one, other = (canonical(columns) for columns in same)
        self.assertEqual(one, other)
        self.assertEqual(
            one,
            b'{"changes":{"a":[],"b":[1,"\\u00e9"]},'
            b'"created_at":"2030-01-31T12:00:00.000000+00:00",'
            b'"ip":"00000000000000000000000001020304/128"}',
        )

    def test_seals_differ_if_contents_predecessor_or_key_differ(self):
        contents: list[dict[str, object]] = [
            {},
            {"a": ""},
            {"a": False},
            {"a": 0},
            {"a": "0"},
            {"a": [0]},
            {"b": 0},
            {"a": {"b": 0}},
            {"a": 'x","b":"y'},
            {"a": "x", "b": "y"},
            {"ip": "1.2.3.4"},
            {"ip": "1.2.3.0/24"},
            {"ip": "::1.2.3.4"},
        ]
        befores = [GENESIS, bytes(31) + b"\x01"]
        keys = [self.KEY, bytes(32)]
        seals = {seal(c, after=b, key=k) for c in contents for b in befores for k in keys}
        self.assertEqual(len(seals), len(contents) * len(befores) * len(keys))
        self.assertTrue(all(len(s) == 32 for s in seals))

    def test_seal_covers_every_column_but_itself(self):
        columns = {field.attname for field in AuditEvent._meta.concrete_fields}
        self.assertEqual(columns - set(AuditEvent.sealed_columns()), {"seal"})

    def test_first_audit_key_seals_and_the_event_names_it(self):
        for keys in ({7: self.KEY}, {3: bytes(32), 7: self.KEY}):
            with override_settings(AUDIT_KEYS=keys):
                self.issue()
        self.assertEqual(
            list(
                AuditEvent.objects.filter(action="api_key.issued")
                .order_by("sequence")
                .values_list("seal_key_id", flat=True)
            ),
            [7, 3],
        )

    def test_audit_head_holds_the_seal_of_the_last_event(self):
        self.issue()
        head = AuditHead.objects.get(pk=self.acme.pk)
        last = AuditEvent.objects.get(organization_id=self.acme.pk, sequence=head.sequence)
        self.assertEqual(bytes(head.seal), bytes(last.seal))
        self.assertRegex(bytes(head.seal).hex(), re.compile(r"[0-9a-f]{64}"))
