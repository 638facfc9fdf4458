"""People: users of each type with their roles, groups of readers, guardians and their readers.

Owns `users` with `staff`, `readers`, `students` and `guardians` beneath it (joined-table inheritance), `groups`,
`group_members`, `guardian_readers` and `user_name_prefixes`. What is personal is encrypted, and found by keyed hashes
only (`core/pii.py`). Every domain above may ask who somebody is; sign-in is `auth`'s.
"""
