"""Tests of concurrent retries, and of a retry that meets the first use of the secret."""

import time
from collections import Counter
from functools import partial
from itertools import product

from apikeys.models import ApiKey, RememberedRequest
from apikeys.scopes import ALL_SCOPES
from apikeys.verbs.change import change
from audit.actor import Actor
from audit.models import AuditEvent
from tests.support.cast import Answer, ApiClient
from tests.support.committed import in_threads
from tests.support.races import Call, RaceTestCase, get, post

TOKEN, OTHER_TOKEN = {"Idempotency-Key": "t-1"}, {"Idempotency-Key": "t-2"}
MANY = 20


class ParallelRetryTests(RaceTestCase):
    def test_concurrent_retries_leave_one_key_and_one_secret(self):
        _, caller = self.issue()
        send = post(caller, "/v1/keys", {"name": "CI"}, **TOKEN)
        once = in_threads(*[send] * MANY)
        for answer in once:
            if answer.status_code != 201:
                self.assertRefused(answer, 409, "idempotency_in_progress")
                self.assertEqual(answer["Retry-After"], "1")
        patient = in_threads(*[partial(send_until_answered, send)] * (MANY // 2))
        answers = [answer for answer in once if answer.status_code == 201]
        answers += [*patient, send()]

        self.assertEqual({answer.status_code for answer in answers}, {201})
        self.assertEqual(len({answer.json()["id"] for answer in answers}), 1)
        first = [answer for answer in answers if "Idempotent-Replayed" not in answer]
        self.assertEqual(len(first), 1)
        self.assertIn(first[0], once)
        replaced = AuditEvent.objects.filter(action="api_key.secret_replaced")
        self.assertEqual(replaced.count(), len(answers) - 1)
        self.assertEqual(RememberedRequest.objects.count(), 1)
        *ended, last = [ApiClient(answer.json()["key"]) for answer in answers]
        for client in ended:
            self.assertRefused(get(client)(), 401, "api_key_expired")
        self.assertEqual(get(last)().status_code, 200)
        self.assertEqual(ApiKey.objects.count(), 2)

    def test_concurrent_retry_of_a_running_request_is_refused_without_waiting(self):
        _, caller = self.issue()
        _, other = self.issue()
        send = post(caller, "/v1/keys", {"name": "CI"}, **TOKEN)
        with self.queue() as queue:
            self.lock_organization()
            queue.add(send)
            for answer in in_threads(send, send):
                self.assertRefused(answer, 409, "idempotency_in_progress")
            # Another token, or the same token of another key, is another request.
            queue.add(post(caller, "/v1/keys", {"name": "CI"}, **OTHER_TOKEN))
            queue.add(post(other, "/v1/keys", {"name": "CI"}, **TOKEN))
        self.assertEqual([answer.status_code for answer in queue.answers()], [201] * 3)
        self.assertEqual(send()["Idempotent-Replayed"], "true")

    def test_refused_first_request_leaves_the_idempotency_key_free(self):
        key, caller = self.issue()
        with self.queue() as queue:
            self.lock_organization()
            queue.add(post(caller, "/v1/keys", {"name": "first"}, **TOKEN))
            change(key, actor=Actor.cli(), scopes=["tests:read"])
        self.assertRefused(queue.answers()[0], 403, "insufficient_scope")
        change(key, actor=Actor.cli(), scopes=ALL_SCOPES)

        # The token is free for another request, too.
        response = caller.send("/v1/keys", {"name": "second"}, **TOKEN)

        self.assertEqual(response.status_code, 201)
        self.assertNotIn("Idempotent-Replayed", response)


class FirstUseTests(RaceTestCase):
    """The first use of a secret meets the request that would replace it as unused."""

    def setUp(self) -> None:
        super().setUp()
        _, self.caller = self.issue()
        self.key, self.old = self.issue()

    def begin(self, verb: str, token: str) -> tuple[ApiClient, Call, Call]:
        """Show a secret; return its client, a use of it, and the repeated request."""
        send = post(self.caller, "/v1/keys", {"name": "CI"}, **{"Idempotency-Key": token})
        if verb == "rotate":
            self.key, self.old = self.issue()
            send = post(self.caller, f"/v1/keys/{self.key.pk}/rotate", {})
        client = ApiClient(send().json()["key"])
        return client, get(client), send

    def winner(self, verb: str, client: ApiClient, use: Answer, again: Answer) -> str:
        """Check that one of the two won and the other was told; return the winner."""
        if use.status_code == 200:
            # The used secret still works; after a rotation it is the retiring one.
            self.assertEqual(get(client)().status_code, 200)
            if verb == "rotate":
                self.assertEqual(again.status_code, 200)
                self.assertRefused(get(self.old)(), 401, "api_key_expired")
                self.assertEqual(self.live_secrets(self.key.pk)[0].locator, client.key[8:16])
            else:
                self.assertRefused(again, 409, "idempotency_secret_used")
            return "use"
        self.assertRefused(use, 401, "api_key_expired")
        if verb == "rotate":
            self.assertEqual(get(self.old)().status_code, 200)
        else:
            self.assertEqual(again["Idempotent-Replayed"], "true")
        self.assertEqual(get(ApiClient(again.json()["key"]))().status_code, 200)
        return "again"

    def test_first_to_lock_the_secrets_row_wins_between_use_and_replacement(self):
        for verb, first in product(("issue", "rotate"), ("use", "again")):
            with self.subTest(f"{verb}: {first}"):
                client, use, again = self.begin(verb, first)
                with self.queue() as queue:
                    self.lock_secret(client)
                    for call in [use, again] if first == "use" else [again, use]:
                        queue.add(call)
                answers = queue.answers()
                if first == "again":
                    answers.reverse()
                self.assertEqual(self.winner(verb, client, *answers), first)

    def test_use_and_replacement_of_a_secret_never_both_win(self):
        for verb in ("issue", "rotate"):
            winners: Counter[str] = Counter()
            head_start = 0.005  # The other request has more to do before it comes to the row.
            for number in range(20):
                client, use, again = self.begin(verb, f"t-{number}")
                use_later = partial(later, use, head_start)
                winner = self.winner(verb, client, *in_threads(use_later, again))
                winners[winner] += 1
                # Help the loser, so that most rounds are close.
                head_start *= 1.5 if winner == "use" else 1 / 1.5
            self.assertEqual(set(winners), {"use", "again"}, winners)


def send_until_answered(send: Call) -> Answer:
    """Repeat the call until it is no longer in progress; return its answer."""
    while (answer := send()).status_code == 409:
        time.sleep(0.05)
    return answer


def later(call: Call, delay: float) -> Answer:
    """Make the call after a delay."""
    time.sleep(delay)
    return call()
