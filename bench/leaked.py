"""How soon are the keys of one report dead? `python -m bench.leaked [KEYS]`, 1,000 by default.

Calls what both kinds of reports call, without HTTP: with all keys in one organization, and with an
organization for each key. All are heard, so each event also writes its row of the outbox.
"""

import sys
from typing import Final

import tests.settings  # noqa: F401 - chooses the cluster
from bench.machine import say
from tests.support.demo_server import manage

MEASURE: Final = """
import time
from django.core.management import call_command
call_command("migrate", verbosity=0)
from accounts.models import Organization, Plan
from apikeys.models import ApiKey, KeySecret
from apikeys.verbs.issue import issue
from audit.actor import Actor
from audit.models import AuditHead
from apikeys.verbs.leak import Place
from notices.leaks.queue import kill
system = Actor.system()
for organizations in (1, KEYS):
    made = []
    for n in range(KEYS):
        if n < organizations:
            acme = Organization(name=f"n{n}", plan=Plan.objects.get(slug="enterprise"))
            acme.create(actor=system)
            Plan.objects.update(active_keys_limit=None)
            AuditHead.objects.filter(pk=acme.pk).update(has_destination=True)
        api_key = ApiKey(organization=acme, name="n", livemode=True)
        issue(api_key, actor=system)
        made.append(api_key.pk)
    secrets = KeySecret.objects.filter(api_key__in=made)
    digests = secrets.values_list("digest", flat=True)
    places = {bytes(digest): Place() for digest in digests}
    began, spent = time.monotonic(), time.process_time()
    kill(places, actor=Actor.scanner("github"), source="github")
    wall, own = time.monotonic() - began, time.process_time() - spent
    alive = ApiKey.objects.filter(pk__in=made, revoked_at=None).count()
    print(f"{KEYS} keys of {organizations} organizations: {wall:.1f} s, {own:.1f} s of Python, "
          f"{alive} alive")
"""


def main() -> None:
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    done = manage("shell", "-v", "0", "-c", f"KEYS = {keys}\n{MEASURE}")
    say(done.stdout or done.stderr)


if __name__ == "__main__":
    main()
