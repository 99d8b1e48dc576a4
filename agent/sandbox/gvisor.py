"""Sandboxes by gVisor: a kernel of its own, in user space, between a job and this machine."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agent.sandbox import bundle, cgroups, environments, folders
from agent.sandbox.job import Environment, Job, Outcome, SandboxUnavailable, Session
from agent.sandbox.supervision import Started, Talk, Watched

EGRESS = "/egress"
OVERHEAD_MB = 96  # gVisor itself: 42 MiB idle, more while it starts
_FLAGS = (
    "--network=none",
    "--platform=systrap",
    # The default lets gVisor open files of this machine itself, as root.
    "--directfs=false",
    # The default puts a writable file beside the root file system.
    "--overlay2=none",
    "--host-fifo=none",
    # Nobody changes a mounted folder while a sandbox sees it: files need not be looked up twice.
    "--file-access-mounts=exclusive",
    # Its groups are ours, so that they stand before it starts and after it is gone.
    "--ignore-cgroups",
)


@dataclass(frozen=True)
class GVisor:
    """Runs jobs with `runsc`.

    store: folder of environments.
    runs: folder of what single runs need; a short path, since sockets are below it.
    """

    program: Path
    store: Path
    runs: Path
    tier: str = "gvisor"
    egress: Path | None = None  # folder with a socket of ours, seen at EGRESS; for fetching only

    @cached_property
    def version(self) -> str:
        """What runsc says it is, for records."""
        asked = [str(self.program), "--version"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True, env={})
        return said.stdout.split("\n", 1)[0].removeprefix("runsc version ").strip()

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
        return Watched(job, self._prepared(job), talk=False).finish(on_output, cancelled)

    def open(self, job: Job, *, cancelled: Callable[[], bool] | None = None) -> Session:
        """Start the job and talk to it, see `Engine.open`."""
        return Talk(Watched(job, self._prepared(job), talk=True), cancelled)

    def reap(self) -> int:
        """End what the runs of dead workers left behind. Returns how many there were."""
        return folders.reap(self.runs, self._hierarchies)

    def _prepared(self, job: Job) -> Started:
        environment = job.environment or environments.plain(self.store)
        folder = folders.new(self.runs)
        try:
            self._lay_out(job, environment, folder)
            group = cgroups.for_run(
                self._hierarchies, folder.name, memory_mb=job.limits.memory_mb + OVERHEAD_MB
            )
        except SandboxUnavailable:
            shutil.rmtree(folder)
            raise
        except OSError as error:
            shutil.rmtree(folder)
            raise SandboxUnavailable(f"a sandbox cannot be prepared: {error}") from error

        def command(report: int) -> Sequence[str]:
            flags = [*_FLAGS, f"--root={folder / 'state'}"]
            flags.append(f"--host-uds={'open' if self.egress else 'none'}")
            if os.geteuid() != 0:
                flags.append("--rootless")
            run = ["run", f"--bundle={folder}", f"--pass-fd={report}:3", folder.name]
            return [str(self.program), *flags, *run]

        memory_mb = job.limits.memory_mb + OVERHEAD_MB
        return Started(command, folder, group, self.tier, environment.digest, memory_mb)

    def _lay_out(self, job: Job, environment: Environment, folder: Path) -> None:
        laid = bundle.lay_out(job, environment, folder)
        configuration = bundle.configuration(job, laid, environment)
        if self.egress is not None:
            (laid.root / EGRESS[1:]).mkdir()
            configuration["mounts"].append(bundle.bound(EGRESS, self.egress))
        (folder / "config.json").write_text(json.dumps(configuration))
