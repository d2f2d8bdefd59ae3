"""A disk that a test can fill: a small tmpfs that only the programs under test see, where this machine
allows one (root, or namespaces for everybody), else a limit on the size of files."""
import os
import pathlib
import resource
import subprocess


class SmallDisk:
    """A tmpfs in a namespace of its own; gone with its holder, whatever happens to the test."""

    def __init__(self, folder, size):
        self.place = folder / "disk"
        self.place.mkdir()
        own = [] if os.geteuid() == 0 else ["-r"]
        self.holder = subprocess.Popen(
            ["unshare", *own, "-m", "sh", "-c",
             'mount -t tmpfs -o size="$1" none "$0" && echo ready && exec cat', str(self.place), size],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.holder.stdout.readline() != b"ready\n":
            self.close()
            raise OSError("no namespaces for mounts here")
        self.prefix = ["nsenter", *(["-U", "--preserve-credentials"] if own else []), "-t",
                       str(self.holder.pid), "-m", "--"]

    def path(self, name):
        """As seen from here."""
        return pathlib.Path(f"/proc/{self.holder.pid}/root{self.place}/{name}")

    def fill(self, _=None):
        with open(self.path("ballast"), "wb", buffering=0) as ballast:
            for size in (65536, 1):
                try:
                    while True:
                        ballast.write(b"\0" * size)
                except OSError:
                    pass

    def free(self, _=None):
        self.path("ballast").unlink()

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(30)
        self.holder.stdout.close()


class LimitDisk:
    """Files of a process cannot grow: EFBIG in the place of ENOSPC."""

    prefix = ()

    def __init__(self, folder, _size):
        self.place = folder / "disk"
        self.place.mkdir(exist_ok=True)

    def path(self, name):
        return self.place / name

    def fill(self, process):
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def free(self, process):
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self):
        pass


def small_disk(case, size="1m"):
    try:
        disk = SmallDisk(case.folder, size)
    except OSError as why:
        print(f"files are limited instead of a small disk: {why}")
        disk = LimitDisk(case.folder, size)
    case.addCleanup(disk.close)
    return disk
