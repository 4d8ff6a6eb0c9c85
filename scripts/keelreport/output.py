"""Where the bytes of an output go: what a path that a user has typed means.

The rules are those of reports/output/output_place.h: links are followed, and stay; a regular file is written beside
and renamed with the owner and mode it had; one of this process's descriptors (/dev/stdout, /dev/fd/N) is written at
its own offset; whatever else is there, a device or a FIFO, is written through.
"""
import contextlib
import errno
import fcntl
import itertools
import os
import pathlib
import re
import stat
import sys

MOST_LINKS = 40  # as the kernel


class BadOutput(Exception):
    """What cannot be written, and why, in a line."""


class _Refused(Exception):
    """The same in words that go on from the path."""


def _error(number):
    return OSError(number, os.strerror(number))


def _in_proc(folder):
    return os.stat(folder).st_dev == os.stat("/proc").st_dev


def _check_folder(folder):
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise _Refused(f"cannot be written: no file can be put into the folder '{folder}'")


class _Place:
    """The end of the links: `path`, what is there (`info`, None: nothing yet), `descriptor` or None, written `through` or not."""

    def __init__(self, path):
        self.path, self.info, self.descriptor, self.through = os.fspath(path), None, None, False
        if self.path == "-":
            self._use_descriptor(1)
            return
        if not self.path:
            raise _Refused("is not a file")
        self._follow()

    def _follow(self):
        for _ in range(MOST_LINKS + 1):
            above, name = self.path.rsplit("/", 1) if "/" in self.path else (".", self.path)
            above = above or "/"
            try:
                folder = str(pathlib.Path(above).resolve(strict=True))
            except RuntimeError as error:  # how it tells of a loop
                raise _error(errno.ELOOP) from error
            except (FileNotFoundError, NotADirectoryError) as error:
                raise _Refused(f"cannot be written: no folder '{above}'") from error
            if not os.path.isdir(folder):
                raise _Refused(f"cannot be written: no folder '{above}'")
            if name in ("", ".", ".."):
                raise _Refused("is a folder")
            if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", folder):
                if not name.isdecimal():
                    raise _error(errno.ENOENT)
                self._use_descriptor(int(name))
                return
            self.path = os.path.join(folder, name)
            try:
                self.info = os.lstat(self.path)
            except FileNotFoundError:
                self.info = None
                _check_folder(folder)
                return
            if not stat.S_ISLNK(self.info.st_mode):
                self.through = not stat.S_ISREG(self.info.st_mode)
                self._check_there()
                if not self.through:
                    _check_folder(folder)
                return
            if _in_proc(folder):
                # Not a path but a door: what lies behind it may have no name, or one elsewhere.
                self.info, self.through = os.stat(self.path), True
                self._check_there()
                return
            self.path = os.path.join(folder, os.readlink(self.path))
        raise _error(errno.ELOOP)

    def _use_descriptor(self, number):
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        if flags & os.O_ACCMODE == os.O_RDONLY:
            raise _Refused(f"cannot be written: descriptor {number} is not open for writing")
        self.descriptor, self.through = number, True

    def _check_there(self):
        if stat.S_ISDIR(self.info.st_mode):
            raise _Refused("is a folder")
        if stat.S_ISSOCK(self.info.st_mode):
            raise _Refused("cannot be written: it is a socket")
        if not os.access(self.path, os.W_OK, effective_ids=True):
            raise _error(errno.EACCES)


def run(program, main):
    """Ends the process with the status of main(). Standard output that could not all be written, a closed pipe included,
    is one line and status 1."""
    try:
        status = main()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        # What is still buffered must not be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"{program}: standard output cannot be written: {error.strerror}", file=sys.stderr)
        status = 1
    sys.exit(status)


def check(path):
    """Raises BadOutput if nothing can be written to `path`. Opens nothing."""
    with _named(path):
        _Place(path)


def write(path, content, lasting=True):
    """Writes text or bytes to what `path` leads to; a regular file is then whole, or as it was. Raises BadOutput.
    `lasting`: a regular file has reached the disk before it gets its name."""
    with _named(path):
        _write(_Place(path), content.encode("utf-8") if isinstance(content, str) else content, lasting)


@contextlib.contextmanager
def _named(path):
    shown = "standard output" if str(path) == "-" else f"'{path}'"
    try:
        yield
    except _Refused as error:
        raise BadOutput(f"{shown} {error}") from error
    except OSError as error:
        raise BadOutput(f"{shown} cannot be written: {error.strerror}") from error


def _write(place, data, lasting):
    if place.descriptor is not None:
        if place.descriptor == 1:
            sys.stdout.flush()
        _fill(os.dup(place.descriptor), data)
        return
    if not place.through:
        try:
            _write_beside(place, data, lasting)
            return
        except OSError as error:
            # A file that was mounted on its own, as containers are given one: nothing can be renamed over it.
            if error.errno != errno.EBUSY:
                raise
    truncate = os.O_TRUNC if stat.S_ISREG(place.info.st_mode) else 0
    _fill(os.open(place.path, os.O_WRONLY | os.O_NOCTTY | truncate), data)


def _fill(descriptor, data, sync=False):
    with open(descriptor, "wb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left):]
        if sync:
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
                    raise


_numbers = itertools.count()


def _write_beside(place, data, lasting):
    end = f".tmp.{os.getpid()}.{next(_numbers)}"
    folder, name = os.path.split(os.fsencode(place.path))
    temporary = os.path.join(folder, name[:255 - len(end)] + end.encode())
    # What was there may have been for its owner's eyes only.
    mode = 0o666 if place.info is None else stat.S_IMODE(place.info.st_mode) & 0o777
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        if place.info is not None:
            try:
                os.fchown(descriptor, place.info.st_uid, place.info.st_gid)
            except OSError:
                pass  # as far as one may
            os.fchmod(descriptor, mode)
        _fill(descriptor, data, sync=lasting)
        os.rename(temporary, place.path)
    except BaseException:
        os.unlink(temporary)
        raise
