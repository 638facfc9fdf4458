"""Where data, sockets and shared copies lie, so that whoever runs the servers can reach them."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from deploy.local.processes import Account, LocalStackError, can_reach, own

# A socket's path may have 107 bytes (103 on macOS); PostgreSQL appends "/.s.PGSQL.5432".
SOCKET_FOLDER_BYTES = 85
NAME = "library-local"


def socket_folder(data_folder: Path, *, account: Account) -> Path:
    """Return a short private folder for the sockets of `data_folder`, the same one every time.

    Its mode is the only guard of the servers, which trust whoever can connect.

    Raises:
        LocalStackError: somebody else made a folder of that name.
    """
    return _private_folder(socket_path(data_folder, account=account), account=account)


def socket_path(data_folder: Path, *, account: Account) -> Path:
    """Name the folder `socket_folder` makes."""
    base = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(base)) + 30 > SOCKET_FOLDER_BYTES or not can_reach(base, account=account):
        base = Path("/tmp").resolve()  # noqa: S108 - ownership is checked
    return base / f"{NAME}-{fingerprint(data_folder)}"


def _private_folder(folder: Path, *, account: Account) -> Path:
    owner = os.geteuid() if account.uid is None else account.uid
    try:
        folder.mkdir(mode=0o700)
        own(folder, account=account)
    except FileExistsError:
        # The name can be guessed and the temp folder is everybody's: never follow a link, never share.
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner:
            raise LocalStackError(f"{folder} belongs to somebody else: remove it and start again.") from None
        folder.chmod(0o700)
    return folder


def data_folder(wanted: Path, *, account: Account) -> Path:
    """Return the folder that really holds the data for `wanted`: itself, or its stand-in where servers can reach it.

    Root's home is usually closed to the account PostgreSQL runs as. Then the data lies below `shared_folder()` under
    a name made from the wanted path, and the link `wanted/elsewhere` shows people where.
    """
    wanted.mkdir(parents=True, exist_ok=True)
    wanted = wanted.resolve()
    if can_reach(wanted, account=account):
        return wanted
    elsewhere = shared_folder(account=account) / fingerprint(wanted)
    elsewhere.mkdir(mode=0o755, exist_ok=True)
    link = wanted / "elsewhere"
    if not link.is_symlink():
        link.symlink_to(elsewhere)
    return elsewhere


def shared_folder(*, account: Account) -> Path:
    """Return root's folder for what other accounts must reach; ours alone to write in.

    Raises:
        LocalStackError: there is no such place.
    """
    for parent in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108 - ownership is checked
        folder = parent / NAME
        if can_reach(parent, account=account) and _is_ours(folder):
            return folder
    raise LocalStackError("Found no folder that PostgreSQL's account can reach: make /var/lib writable.")


def _is_ours(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def fingerprint(path: Path) -> str:
    """Return a short name for a path, different for every user and every path."""
    return hashlib.sha256(f"{os.geteuid()}:{path}".encode()).hexdigest()[:12]
