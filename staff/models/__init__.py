from staff.models.log_in_tries import LogInTries
from staff.models.passkey import Passkey
from staff.models.second_factor import RecoveryCode, SecondFactor
from staff.models.user import User

__all__ = ["LogInTries", "Passkey", "RecoveryCode", "SecondFactor", "User"]
