"""Retries that come at once, and one that meets the first use of what it would replace."""

import time
from collections import Counter
from functools import partial

from accounts.models import Actor, AuditEvent
from apikeys.models import ApiKey, RememberedRequest
from apikeys.scopes import ALL_SCOPES
from tests.cast import Answer, ApiClient
from tests.committed import in_threads
from tests.races import Call, RaceTestCase, get, post

TOKEN, OTHER_TOKEN = {"Idempotency-Key": "t-1"}, {"Idempotency-Key": "t-2"}
MANY = 20


class ParallelRetryTests(RaceTestCase):
    def test_many_at_once_leave_one_key_and_one_secret(self):
        _, caller = self.issue()
        self.check(post(caller, "/v1/keys", {"name": "CI"}, **TOKEN), 201)
        self.assertEqual(ApiKey.objects.count(), 2)

    def test_many_rotations_at_once_are_one(self):
        key, old = self.issue()
        self.check(post(old, f"/v1/keys/{key.pk}/rotate", {}, **TOKEN), 200)
        self.assertEqual(ApiKey.objects.count(), 1)
        self.assertEqual(AuditEvent.objects.filter(action="api_key.rotated").count(), 1)
        self.assertEqual(get(old)().status_code, 200)

    def check(self, send: Call, status: int) -> None:
        """Send a request many times at once, once each and then as a patient client does."""
        once = in_threads(*[send] * MANY)
        for answer in once:
            if answer.status_code != status:
                self.assertRefused(answer, 409, "idempotency_in_progress")
                self.assertEqual(answer["Retry-After"], "1")
        patient = in_threads(*[partial(send_until_answered, send)] * (MANY // 2))
        answers = [answer for answer in once if answer.status_code == status]
        answers += [*patient, send()]

        self.assertEqual({answer.status_code for answer in answers}, {status})
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

    def test_while_the_first_is_running_the_others_do_not_wait(self):
        _, caller = self.issue()
        _, other = self.issue()
        send = post(caller, "/v1/keys", {"name": "CI"}, **TOKEN)
        with self.queue() as queue:
            self.lock_organization()
            queue.add(send)
            for answer in in_threads(send, send):
                self.assertRefused(answer, 409, "idempotency_in_progress")
            # Another token of this key, and the same one of another key, are not that request.
            queue.add(post(caller, "/v1/keys", {"name": "CI"}, **OTHER_TOKEN))
            queue.add(post(other, "/v1/keys", {"name": "CI"}, **TOKEN))
        self.assertEqual([answer.status_code for answer in queue.answers()], [201] * 3)
        self.assertEqual(send()["Idempotent-Replayed"], "true")

    def test_a_first_that_is_refused_leaves_the_token_free(self):
        key, caller = self.issue()
        with self.queue() as queue:
            self.lock_organization()
            queue.add(post(caller, "/v1/keys", {"name": "first"}, **TOKEN))
            key.change(actor=Actor.cli(), scopes=["tests:read"])
        self.assertRefused(queue.answers()[0], 403, "insufficient_scope")
        key.change(actor=Actor.cli(), scopes=ALL_SCOPES)

        # For another request, too.
        response = caller.send("/v1/keys", {"name": "second"}, **TOKEN)

        self.assertEqual(response.status_code, 201)
        self.assertNotIn("Idempotent-Replayed", response)


class FirstUseTests(RaceTestCase):
    def setUp(self) -> None:
        super().setUp()
        _, self.caller = self.issue()

    def begin(self, token: str) -> tuple[ApiClient, Call, Call]:
        """Make a key; return its client, a use of it, and the retry of its creation."""
        send = post(self.caller, "/v1/keys", {"name": "CI"}, **{"Idempotency-Key": token})
        client = ApiClient(send().json()["key"])
        return client, get(client), send

    def winner(self, use: Answer, replay: Answer) -> str:
        """Check that one of the two won and the other was told; return which."""
        if use.status_code == 200:
            self.assertRefused(replay, 409, "idempotency_secret_used")
            return "use"
        self.assertRefused(use, 401, "api_key_expired")
        self.assertEqual(replay["Idempotent-Replayed"], "true")
        self.assertEqual(get(ApiClient(replay.json()["key"]))().status_code, 200)
        return "replay"

    def test_whichever_comes_first_to_the_secrets_row_wins(self):
        for first in ("use", "replay"):
            with self.subTest(first):
                client, use, replay = self.begin(first)
                with self.queue() as queue:
                    self.lock_secret(client)
                    for call in [use, replay] if first == "use" else [replay, use]:
                        queue.add(call)
                answers = queue.answers()
                if first == "replay":
                    answers.reverse()
                self.assertEqual(self.winner(*answers), first)

    def test_never_both_in_any_of_many_rounds(self):
        winners: Counter[str] = Counter()
        head_start = 0.005  # The retry has more to do before it comes to the row.
        for number in range(40):
            _, use, replay = self.begin(f"t-{number}")
            use_later = partial(later, use, head_start)
            winner = self.winner(*in_threads(use_later, replay))
            winners[winner] += 1
            # Whoever lost is helped, so that most rounds are close.
            head_start *= 1.5 if winner == "use" else 1 / 1.5
        self.assertEqual(set(winners), {"use", "replay"}, winners)


def send_until_answered(send: Call) -> Answer:
    """Wait and send again for as long as the same request is being carried out."""
    while (answer := send()).status_code == 409:
        time.sleep(0.05)
    return answer


def later(call: Call, delay: float) -> Answer:
    """Wait, and call."""
    time.sleep(delay)
    return call()
