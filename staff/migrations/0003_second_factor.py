from django.db import migrations


class Migration(migrations.Migration):
    # Apart from the first: django-otp's own table refers to the user, whom that one makes.
    dependencies = [("staff", "0002_groups"), ("otp_totp", "0003_add_timestamps")]
    operations = [
        migrations.CreateModel(
            name="SecondFactor",
            fields=[],
            options={
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("otp_totp.totpdevice",),
        ),
    ]
