from apikeys.authentication.bearer import BearerAuthentication

__all__ = ["BearerAuthentication"]
