"""What commands on people refuse."""

from __future__ import annotations

from app.core.errors import Conflict


class EmailTaken(Conflict):
    """Somebody else in this tenant has this e-mail address."""

    code = "email_taken"


class UsernameTaken(Conflict):
    """Somebody else in this tenant has this username."""

    code = "username_taken"


class LastAdmin(Conflict):
    """This is the tenant's last active administrator, who can't be removed, demoted or deactivated."""

    code = "last_admin"
