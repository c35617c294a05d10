"""Tests of the key format: a checksum found offline, and no match with scanners' Stripe rules."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings
from django.test import SimpleTestCase

from apikeys.plaintext import checksum, is_well_formed, locator_of, new_plaintext

# The rules of the common scanners; the last few are one family.
STRIPE_PATTERNS = {
    "detect-secrets": r"(?:r|s)k_live_[0-9a-zA-Z]{24}",
    "gitleaks": r"""\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})(?:[\x60'"\s;]|\\[nr]|$)""",
    "gitleaks, ended by a boundary": r"\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})\b",
    "gitleaks, not ended": r"\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})",
    "trufflehog": r"[rs]k_live_[a-zA-Z0-9]{20,30}",
    "trufflehog, newer": r"[rs]k_live_[a-zA-Z0-9]{20,247}",
    "secretlint": r"(?:sk|rk)_(?:live|test)_[0-9a-zA-Z]{10,99}",
}


def keys(count: int) -> list[str]:
    return [new_plaintext(livemode=number % 2 == 0) for number in range(count)]


class ShapeTests(SimpleTestCase):
    def test_new_key_has_the_documented_shape(self):
        for key in keys(200):
            self.assertRegex(key, r"^rk_(live|test)_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}$")
            self.assertEqual(len(key), 55)
            self.assertTrue(is_well_formed(key))
            self.assertEqual(locator_of(key), key[8:16])

    def test_new_keys_are_unique(self):
        self.assertEqual(len(set(keys(5000))), 5000)

    def test_checksum_equals_githubs_documented_example(self):
        # The expired example token that GitHub shows, without its prefix.
        self.assertEqual(checksum("zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17")

    def test_checksum_finds_every_single_character_typo(self):
        key = new_plaintext(livemode=True)
        for at in range(len(key)):
            for other in "0aZ_-":
                if other != key[at]:
                    self.assertFalse(is_well_formed(key[:at] + other + key[at + 1 :]))

    def test_checksum_finds_swapped_neighbours_and_a_swapped_mode(self):
        key = new_plaintext(livemode=True)
        for at in range(17, 54):
            if key[at] != key[at + 1]:
                swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
                self.assertFalse(is_well_formed(swapped))
        self.assertFalse(is_well_formed(key.replace("rk_live_", "rk_test_")))

    def test_truncated_and_padded_keys_are_malformed(self):
        key = new_plaintext(livemode=True)
        for length in range(len(key)):
            self.assertFalse(is_well_formed(key[:length]))
        for padded in (key + "a", " " + key, key + " ", key + "\n", key + "\x00", key * 2):
            self.assertFalse(is_well_formed(padded))


class ScannerTests(SimpleTestCase):
    def test_new_key_matches_no_stripe_rule_of_common_scanners(self):
        for scanner, pattern in STRIPE_PATTERNS.items():
            rule = re.compile(pattern)
            stripes_own = "rk_live_" + "a1B2" * 6
            with self.subTest(scanner):
                self.assertRegex(stripes_own, rule)  # The rule matches a real Stripe key.
                for key in keys(200):
                    for line in (key, f'KEY="{key}"', f"key: {key};", f"curl -H 'Bearer {key}'\\n"):
                        self.assertNotRegex(line, rule)

    def test_detect_secrets_reports_no_key_as_a_stripe_key(self):
        with TemporaryDirectory() as folder:
            ours = Path(folder, "ours.env")
            ours.write_text("".join(f'API_KEY_{i}="{key}"\n' for i, key in enumerate(keys(1000))))
            stripes = Path(folder, "stripes.env")
            stripes.write_text(f'API_KEY="{"rk_live_" + "a1B2" * 6}"\n')
            found = SecretsCollection()
            with default_settings():
                found.scan_file(str(ours))
                found.scan_file(str(stripes))
        by_file = {file: {secret.type for secret in found[file]} for file in found.files}
        self.assertIn("Stripe Access Key", by_file[str(stripes)])
        self.assertNotIn("Stripe Access Key", by_file.get(str(ours), set()))
