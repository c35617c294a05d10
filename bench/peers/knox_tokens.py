"""django-rest-knox, as documented. Limited: with a limit and the last use."""

from knox.auth import TokenAuthentication

from bench.peers import views


class Me(views.Me):
    authentication_classes = [TokenAuthentication]


class LimitedMe(views.LimitedMe):
    authentication_classes = [TokenAuthentication]
