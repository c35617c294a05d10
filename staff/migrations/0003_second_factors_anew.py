from django.db import migrations, models

# Apps and recovery codes hang on other keys now, and sessions hold other marks.
CLEAR = "DELETE FROM django_session; DELETE FROM staff_recoverycode;"


class Migration(migrations.Migration):
    dependencies = [
        ("staff", "0002_groups"),
        ("otp_totp", "0003_add_timestamps"),
    ]

    operations = [
        migrations.RunSQL(CLEAR, migrations.RunSQL.noop),
        migrations.DeleteModel(name="SecondFactor"),
        migrations.CreateModel(
            name="SecondFactor",
            fields=[],
            options={"proxy": True, "default_permissions": (), "indexes": [], "constraints": []},
            bases=("otp_totp.totpdevice",),
        ),
        migrations.RemoveField(model_name="recoverycode", name="used_at"),
        migrations.DeleteModel(name="LogInTries"),
        migrations.CreateModel(
            name="LogInTries",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("subject", models.CharField(max_length=64)),
                ("failed_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "log-in tries",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["subject", "failed_at"], name="log_in_tries_by_subject")
                ],
            },
        ),
        migrations.AddField(
            model_name="user",
            name="sessions_ended",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
    ]
