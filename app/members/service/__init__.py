"""Commands on people.

`users` makes, changes and checks them, `groups` and `guardians` bring them together, `privacy` tells and forgets what
is known of one, `passwords` reckons what is kept of those, `rotation` writes what is personal under a new key.
"""

from __future__ import annotations

from app.members.service.errors import EmailTaken, LastAdmin, UsernameTaken
from app.members.service.groups import (
    GroupFull,
    InvalidJoinCode,
    add_member,
    create_group,
    create_join_code,
    delete_group,
    join,
    remove_member,
    update_group,
    visible_group,
)
from app.members.service.guardians import link_reader, unlink_reader
from app.members.service.passwords import NO_PASSWORD, NewPassword, new_password
from app.members.service.privacy import PersonalDataLeft, erase_user, export_user, find_traces, lets_go, personal
from app.members.service.rotation import outdated_rows, rotate_personal_data
from app.members.service.users import (
    changed_password,
    check_grant,
    create_user,
    end_all_sessions,
    existing_user,
    make_user,
    register,
    update_user,
    visible_user,
)

__all__ = [
    "NO_PASSWORD",
    "EmailTaken",
    "GroupFull",
    "InvalidJoinCode",
    "LastAdmin",
    "NewPassword",
    "PersonalDataLeft",
    "UsernameTaken",
    "add_member",
    "changed_password",
    "check_grant",
    "create_group",
    "create_join_code",
    "create_user",
    "delete_group",
    "end_all_sessions",
    "erase_user",
    "existing_user",
    "export_user",
    "find_traces",
    "join",
    "lets_go",
    "link_reader",
    "make_user",
    "new_password",
    "outdated_rows",
    "personal",
    "register",
    "remove_member",
    "rotate_personal_data",
    "unlink_reader",
    "update_group",
    "update_user",
    "visible_group",
    "visible_user",
]
