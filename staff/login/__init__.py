"""The log-in of staff: passwords, second factors, passkeys, single sign-on, sessions."""
