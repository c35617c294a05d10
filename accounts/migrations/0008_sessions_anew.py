from django.db import migrations, models

# Sessions held the cookie's value as their key, and an app's secret now follows from the account,
# too: neither is of use any more.
CLEAR = """
    DELETE FROM django_session;
    DELETE FROM accounts_recoverycode;
    DELETE FROM accounts_secondfactor;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_no_audit_check"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(CLEAR, migrations.RunSQL.noop),
        migrations.RemoveConstraint(model_name="secondfactor", name="second_factor_one_in_force"),
        migrations.RemoveField(model_name="secondfactor", name="confirmed"),
        migrations.AlterField(model_name="secondfactor", name="seed", field=models.BinaryField()),
        migrations.AddConstraint(
            model_name="secondfactor",
            constraint=models.UniqueConstraint(fields=("user",), name="second_factor_one_in_force"),
        ),
    ]
