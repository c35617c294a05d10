"""What was told of a key before its end, at it, or because nobody uses it."""

from django.db import models

from apikeys.models import ApiKey


class KeyNote(models.Model):
    """A notice of `watch_keys`: one for each key, kind and due date, of which no second is made."""

    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=20)
    due_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["api_key", "kind", "due_on"], name="key_note_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.api_key_id} for {self.due_on}"
