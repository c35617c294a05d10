"""Model-based test: any sequence of calls succeeds and fails exactly as the model says.

Hypothesis generates the sequences and shrinks a failing one. Each runs over HTTP on the real
database, in a transaction that is rolled back. They are the same every time, except that
`MODEL_EXAMPLES=5000 .venv/bin/pytest tests/authority/test_model.py` generates as many new ones.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from accounts.models import Plan
from apikeys.models import ApiKey
from apikeys.verbs.change import change
from apikeys.verbs.issue import issue
from apikeys.verbs.revoke import revoke, revoke_with_all_it_made
from apikeys.verbs.rotate import finish_rotation, rotate
from tests.support.cast import ApiTestCase
from tests.support.compared import LIMIT, NAMES, STATUS, Compared, as_json, body_of, path_of, row
from tests.support.key_model import (
    ADDRESSES,
    DEFAULT_OVERLAP,
    EVERY_SCOPE,
    INHERIT,
    NEVER,
    PLACES,
    Key,
    Secret,
    Wish,
)

Send = Callable[[Secret, str], None]  # The calling secret, and its place.

EXAMPLES = os.environ.get("MODEL_EXAMPLES")

spans = st.sampled_from([timedelta(minutes=m) for m in (1, 30, 60, 720, 1440, 2880)])
left_out = st.just(INHERIT)
some_scopes = st.sampled_from(
    [EVERY_SCOPE, EVERY_SCOPE, EVERY_SCOPE - {"billing:manage"}, frozenset(["tests:read"])]
)
some_networks = st.sampled_from(list(PLACES))
from_now = st.none() | spans | st.sampled_from([timedelta(0), timedelta(days=9)])  # None: never.
overlaps = st.none() | st.sampled_from([timedelta(0), timedelta(minutes=30), timedelta(days=2)])
tokens = st.sampled_from(["", "t-1", "t-2", "t-3"])
places = st.sampled_from(["", "", "", *ADDRESSES])  # Empty: a place that the caller's key allows.
rarely = st.integers(0, 9).map(lambda number: number == 9)
data = st.data()

# Verbs of interest are drawn often, and verbs that end things rarely.
VERBS = [
    *["use_any", "let_time_pass", "staff_change"] * 3,
    *["issue", "rotate", "retry", "retry", "change"] * 6,
    *["look", "look_through", "finish_rotation", "staff_issue", "staff_rotate"] * 2,
    *["revoke", "cascade", "staff_revoke", "staff_cascade", "staff_suspend"],
    *["cascade", "staff_finish_rotation"],
]


class Sequences(Compared):
    """State machine over two organizations in both modes, each with one unrestricted key first."""

    def __init__(self, case: ApiTestCase) -> None:
        super().__init__(case)
        # Requests sent with a token, by calling key.
        self.sent: list[tuple[Key, Send]] = []
        for organization in self.organizations:
            for livemode in (True, False):
                self.issue_by_staff((organization, livemode), Wish())
        # Work for a cascade: a key that made one, and rotated one that ends before the overlap.
        root = self.world.keys[0].secrets[0]
        self.issue_by_staff(root.key.home, Wish(end=self.world.now + timedelta(days=1)))
        self.rotate_by(self.world.keys[-1], timedelta(days=2), "")(root, "")
        self.issue_by(Wish(scopes=frozenset(["tests:read"])), "")(root, "")

    @rule(data=data, verb=st.sampled_from(VERBS))
    def step(self, data, verb):
        getattr(self, verb)(data)

    def let_time_pass(self, data):
        span = data.draw(spans)
        note(f"{span} later")
        self.world.now += span
        self.traveller.shift(span)

    # By keys

    def use_any(self, data):
        self.use(data.draw(st.sampled_from(self.world.secrets)), data.draw(places))

    def issue(self, data):
        token = data.draw(tokens)
        self.send(data, self.caller(data), self.issue_by(self.wish(data), token), token)

    def issue_by(self, wish: Wish, token: str) -> Send:
        def send(by: Secret, place: str) -> None:
            expect = partial(self.world.issue, by, by.key.home, wish, token)
            body = body_of(wish)
            self.show(self.call(by, place, expect, "POST /v1/keys", body=body, token=token))

        return send

    def rotate(self, data):
        by, key = self.caller_and_target(data)
        token = data.draw(tokens)
        self.send(data, by, self.rotate_by(key, data.draw(overlaps), token), token)

    def rotate_by(self, key: Key, overlap: timedelta | None, token: str) -> Send:
        body = {} if overlap is None else {"overlap_seconds": int(overlap.total_seconds())}

        def send(by: Secret, place: str) -> None:
            expect = partial(self.world.rotate, by, key, overlap)  # The token has no effect.
            what = f"POST {path_of(key)}/rotate"
            self.show(self.call(by, place, expect, what, body=body, token=token))

        return send

    def retry(self, data):
        if self.sent:
            lately = data.draw(st.booleans())
            key, send = data.draw(st.sampled_from(self.sent[-3:] if lately else self.sent))
            send(self.caller(data, key.secrets), data.draw(places))

    def change(self, data):
        by, key = self.caller_and_target(data)
        field, value = self.changed(data)
        expect = partial(self.world.change, by, key, field, value)
        body = {NAMES[field]: as_json(value)}
        if done := self.call(by, data.draw(places), expect, f"PATCH {path_of(key)}", body=body):
            self.check(key, done[1])

    def finish_rotation(self, data):
        by, key = self.caller_and_target(data)
        expect = partial(self.world.finish_rotation, by, key)
        if done := self.call(by, data.draw(places), expect, f"POST {path_of(key)}/finish_rotation"):
            self.check(key, done[1])

    def revoke(self, data):
        by, key = self.caller_and_target(data)
        expect = partial(self.world.revoke, by, key)
        if done := self.call(by, data.draw(places), expect, f"DELETE {path_of(key)}"):
            self.check(key, done[1])

    def cascade(self, data):
        by, key = self.caller(data), self.root(data)
        expect = partial(self.world.cascade, by, key)
        if done := self.call(by, data.draw(places), expect, f"DELETE {path_of(key)}?cascade=true"):
            self.check_counts(done[0], done[1].pop("cascade"))
            self.check(key, done[1])

    def look(self, data):
        by, key = self.caller_and_target(data)
        if done := self.call(
            by, data.draw(places), partial(self.world.look, by, key), f"GET {path_of(key)}"
        ):
            self.check(key, done[1])

    def look_through(self, data):
        by = self.caller(data)
        expect = partial(self.world.visible, by)
        if done := self.call(by, data.draw(places), expect, "GET /v1/keys?limit=100"):
            shown = {key["id"]: key for key in done[1]["data"]}
            assert set(shown) == {key.id for key in done[0]}
            for key in done[0]:
                self.check(key, shown[key.id])

    # By staff, who call the verbs themselves

    def staff_issue(self, data):
        self.issue_by_staff(data.draw(st.sampled_from(self.world.keys[:4])).home, self.wish(data))

    def issue_by_staff(self, home: tuple[str, bool], wish: Wish) -> None:
        given = body_of(wish)
        if "expires_at" in given:
            given["expires_at"] = None if wish.end == NEVER else wish.end
        api_key = ApiKey(organization=self.organizations[home[0]], livemode=home[1], **given)
        expect = partial(self.world.issue, None, home, wish)
        if done := self.do(expect, partial(issue, api_key, actor=self.staff)):
            done[0][0].plaintext, done[0][0].key.id = done[1], api_key.pk

    def staff_rotate(self, data):
        key, overlap = self.target(data), data.draw(overlaps)
        expect = partial(self.world.rotate, None, key, overlap)
        length = DEFAULT_OVERLAP if overlap is None else overlap
        if done := self.do(expect, partial(rotate, row(key), overlap=length, actor=self.staff)):
            done[0][0].plaintext = done[1]

    def staff_change(self, data):
        key, (field, value) = self.target(data), self.changed(data)
        given = value if field == "end" and value != NEVER else as_json(value)
        expect = partial(self.world.change, None, key, field, value)
        self.do(expect, partial(change, row(key), actor=self.staff, **{NAMES[field]: given}))

    def staff_revoke(self, data):
        key = self.target(data)
        self.do(partial(self.world.revoke, None, key), partial(revoke, row(key), actor=self.staff))

    def staff_finish_rotation(self, data):
        key = self.target(data)
        expect = partial(self.world.finish_rotation, None, key)
        self.do(expect, partial(finish_rotation, row(key), actor=self.staff))

    def staff_cascade(self, data):
        key = self.root(data)
        verb = partial(revoke_with_all_it_made, row(key), actor=self.staff)
        if done := self.do(partial(self.world.cascade, None, key), verb):
            self.check_counts(done[0], vars(done[1]))

    def staff_suspend(self, data):
        """Suspend an organization, or resume it if it is suspended."""
        verb = "resume" if self.world.suspended else "suspend"
        organization = (*self.world.suspended, self.target(data).organization)[0]
        call = getattr(self.organizations[organization], verb)
        expect = partial(getattr(self.world, verb), organization)
        self.do(expect, partial(call, reason="unpaid", actor=self.staff))

    # Drawing callers, targets and bodies

    def caller(self, data: st.DataObject, among: list[Secret] | None = None) -> Secret:
        """Draw a secret to call with: usually one that works."""
        world = self.world
        secrets = among or world.secrets
        usable = [s for s in secrets if world.is_active(s.key) and world.is_live(s)]
        return data.draw(st.sampled_from(secrets if data.draw(rarely) else usable or secrets))

    def target(self, data: st.DataObject) -> Key:
        return data.draw(st.sampled_from(self.world.keys))

    def root(self, data: st.DataObject) -> Key:
        """Draw a key for a cascade: usually one that rotated another, or else made one."""
        rotated = [s.issuer.key for s in self.world.secrets if s.issuer and s.issuer.key != s.key]
        made = [key.maker.key for key in self.world.keys if key.maker]
        keys = [] if data.draw(rarely) else rotated or made
        return data.draw(st.sampled_from(keys or self.world.keys))

    def caller_and_target(self, data: st.DataObject) -> tuple[Secret, Key]:
        """Draw a caller and a target: often the caller itself, usually of its organization and
        mode.
        """
        by = self.caller(data)
        if data.draw(rarely):
            return by, self.target(data)
        neighbours = [key for key in self.world.keys if key.home == by.key.home]
        active = [key for key in neighbours if self.world.is_active(key)]
        return by, data.draw(st.sampled_from([by.key, *active, *neighbours]))

    def wish(self, data: st.DataObject) -> Wish:
        scopes: Any = data.draw(left_out | some_scopes)
        networks: Any = data.draw(left_out | left_out | some_networks)
        return Wish(scopes, self.moment(data.draw(left_out | left_out | from_now)), networks)

    def changed(self, data: st.DataObject) -> tuple[str, Any]:
        field = data.draw(st.sampled_from(list(NAMES)))
        if field == "end":
            return field, self.moment(data.draw(from_now))
        return field, data.draw(some_scopes if field == "scopes" else some_networks)

    def moment(self, end: Any) -> Any:
        return NEVER if end is None else end if end == INHERIT else self.world.now + end

    def send(self, data: st.DataObject, by: Secret, send: Send, token: str) -> None:
        """Send a request and remember it, so that it can be sent again."""
        if token:
            self.sent.append((by.key, send))
        send(by, data.draw(places))


class ModelTests(ApiTestCase):
    def test_service_agrees_with_the_model_on_every_generated_sequence(self):
        Plan.objects.update(active_keys_limit=LIMIT, requests_per_minute=None)
        run_state_machine_as_test(
            partial(Sequences, self),  # type: ignore[arg-type]
            settings=settings(
                max_examples=int(EXAMPLES or 16),
                stateful_step_count=80,
                derandomize=not EXAMPLES,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        # Every outcome of the model occurred.
        met = {outcome.split()[-1] for outcome in Sequences.met}
        counts = {"keys_revoked", "secrets_ended"}
        self.assertEqual(met, {*STATUS, *counts, "done", "again"})
        for verb in ("use", "issue", "rotate", "change", "finish_rotation", "revoke", "cascade"):
            self.assertTrue(Sequences.met[f"{verb} done"], verb)
