from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

# As audit.models.OF_MODE and LISTED.
LIVE = models.Q(("livemode", True), ("livemode", None), _connector="OR")
TEST = models.Q(("livemode", False))
LISTED = [models.F(column).desc(nulls_last=True) for column in ("created_at", "sequence")]


def index(name: str, *fields: str, condition: models.Q | None = None) -> AddIndexConcurrently:
    listed = models.Index(*fields, *LISTED, condition=condition, name=f"audit_event_{name}")
    return AddIndexConcurrently("auditevent", listed)


class Migration(migrations.Migration):
    """Indexes for `GET /v1/events`, built while events are written."""

    atomic = False
    dependencies = [("audit", "0004_search")]
    operations = [
        index("live", "organization_id", condition=LIVE),
        index("live_action", "organization_id", "action", condition=LIVE),
        index("test", "organization_id", condition=TEST),
        index("test_action", "organization_id", "action", condition=TEST),
        index("actor", "organization_id", "actor_id"),
        index("actor_action", "organization_id", "actor_id", "action"),
        index("not_key", "organization_id", condition=~models.Q(("actor_type", "key"))),
        index("target", "target_id"),
        RemoveIndexConcurrently("auditevent", "audit_event_by_actor"),
        RemoveIndexConcurrently("auditevent", "audit_event_by_target"),
    ]
