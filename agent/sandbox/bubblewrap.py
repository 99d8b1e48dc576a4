"""Sandboxes by bubblewrap: namespaces and a filter on this machine's own kernel.

Weaker than gVisor, because one fault of the kernel is enough to get out: for development only.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agent.sandbox import bundle, cgroups, environments, folders, seccomp
from agent.sandbox.job import (
    NOBODY,
    WORKSPACE,
    Environment,
    Job,
    Outcome,
    SandboxUnavailable,
    Session,
)
from agent.sandbox.supervision import Started, Talk, Watched

_MIB = 1024**2
# Never as root, who could change the machine's settings from inside. Root binds what the job may
# see below a folder of a mount namespace of its own, where an ordinary user can reach it, and
# then becomes that user.
_AS_NOBODY = (
    "set -e; mount -t tmpfs -o mode=0755 staging /mnt; n=0;"
    ' while [ "$1" != -- ]; do mkdir "/mnt/$n"; mount --bind "$1" "/mnt/$n"; n=$((n + 1)); shift;'
    " done; shift;"
    f" exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs"
    ' --bounding-set=-all --inh-caps=-all --pdeathsig KILL -- "$@"'
)


@dataclass(frozen=True)
class Bubblewrap:
    """Runs jobs with `bwrap`, as an ordinary user. Stores and runs as for gVisor."""

    program: Path
    store: Path
    runs: Path
    tier: str = "bwrap-dev"

    @cached_property
    def _hierarchies(self) -> cgroups.Hierarchies | None:
        return cgroups.hierarchies()

    def run(
        self,
        job: Job,
        *,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Outcome:
        """Run the job to its end, see `Engine.run`."""
        return self._watched(job, talk=False).finish(on_output, cancelled)

    def open(self, job: Job, *, cancelled: Callable[[], bool] | None = None) -> Session:
        """Start the job and talk to it, see `Engine.open`."""
        return Talk(self._watched(job, talk=True), cancelled)

    def reap(self) -> int:
        """End what the runs of dead workers left behind. Returns how many there were."""
        return folders.reap(self.runs, self._hierarchies)

    def _watched(self, job: Job, *, talk: bool) -> Watched:
        environment = job.environment or environments.plain(self.store)
        with tempfile.TemporaryFile() as rules:
            rules.write(seccomp.program())
            rules.seek(0)
            return Watched(job, self._prepared(job, environment, rules.fileno()), talk=talk)

    def _prepared(self, job: Job, environment: Environment, rules: int) -> Started:
        folder = folders.new(self.runs)
        try:
            laid = bundle.lay_out(job, environment, folder)
            group = cgroups.for_run(
                self._hierarchies,
                folder.name,
                memory_mb=job.limits.memory_mb,
                # Counted here: what setrlimit counts is all that this user runs.
                processes=job.limits.processes + 4,
            )
        except SandboxUnavailable:
            shutil.rmtree(folder)
            raise
        except OSError as error:
            shutil.rmtree(folder)
            raise SandboxUnavailable(f"a sandbox cannot be prepared: {error}") from error
        seen = {"/": laid.root, **bundle.read_only(laid, environment)}

        def command(report: int) -> Sequence[str]:
            if os.geteuid() != 0:
                return self._command(job, environment, seen, report, rules)
            staged = {inside: Path("/mnt") / str(n) for n, inside in enumerate(seen)}
            enter = ["unshare", "--mount", "--propagation", "private", "--"]
            sources = [str(source) for source in seen.values()]
            inner = self._command(job, environment, staged, report, rules)
            return [*enter, "/bin/sh", "-c", _AS_NOBODY, "sh", *sources, "--", *inner]

        return Started(
            command,
            folder,
            group,
            self.tier,
            environment.digest,
            memory_mb=job.limits.memory_mb,
            pass_fds=(rules,),
        )

    def _command(
        self,
        job: Job,
        environment: Environment,
        seen: dict[str, Path],
        report: int,
        rules: int,
    ) -> list[str]:
        limits = job.limits
        options = ["--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"]
        options += ["--uid", str(NOBODY), "--gid", str(NOBODY), "--hostname", "sandbox"]
        for inside, outside in seen.items():
            options += ["--ro-bind", str(outside), inside]
        for inside in bundle.hidden(environment):
            options += ["--size", "4096", "--tmpfs", inside, "--remount-ro", inside]
        options += ["--proc", "/proc", "--dev", "/dev"]
        for inside, size_mb in (
            ("/dev/shm", limits.tmp_mb),  # noqa: S108
            ("/tmp", limits.tmp_mb),  # noqa: S108
            (WORKSPACE, limits.disk_mb),
        ):
            options += ["--perms", "1777", "--size", str(size_mb * _MIB), "--tmpfs", inside]
        options += ["--remount-ro", "/dev", "--chdir", "/", "--seccomp", str(rules)]
        for name, value in bundle.variables(job).items():
            options += ["--setenv", name, value]
        # bash, because sh knows no descriptor of two digits.
        third = ["/bin/bash", "-c", f'exec 3>&{report} {report}>&-; exec "$@"', "bash"]
        return [str(self.program), *options, "--", *third, *_limited(job), *bundle.command(job)]


def _limited(job: Job) -> list[str]:
    """A command that sets resource limits for the one after it."""
    names = {
        "RLIMIT_NPROC": "nproc",
        "RLIMIT_NOFILE": "nofile",
        "RLIMIT_CORE": "core",
        "RLIMIT_FSIZE": "fsize",
        "RLIMIT_MEMLOCK": "memlock",
    }
    limits = bundle.resource_limits(job)
    return ["prlimit", *(f"--{names[name]}={value}" for name, value in limits.items())]
